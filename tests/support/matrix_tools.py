"""The clients of the matrix, made ready to run: each in an environment of its own, which the next run finds again.

Everything lies in one cache folder, WIRETAPE_MATRIX_CACHE or one of the user's. Packages come from the usual
registries by the usual installers, each in the newest version that its manifest allows on the day the environment
is made. What cannot be made (no toolchain, no network, no such package) skips its rows, with the reason.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import re
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import platformdirs
import pytest

from tests.support.toolchains import (
    NPM_INSTALL,
    ROOT,
    SDK_PACKAGES,
    build_go,
    install,
    made_once,
    output,
    python_with,
)

MATRIX = ROOT / "tests" / "matrix"
CACHE_VARIABLE = "WIRETAPE_MATRIX_CACHE"

RUNTIMES = {"newer Node": "node@24", "Bun": "bun@1", "Deno": "deno@2"}
"""What runs JavaScript besides the Node that is installed, as packages that hold the programs.

The newer Node honours proxy variables by itself.
"""

AWS_SDK = "@aws-sdk/client-bedrock-runtime"


@dataclass(frozen=True, slots=True)
class Program:
    """A client that can be run, and what is to be said of it."""

    command: tuple[str, ...]
    version: str
    """The client's own version."""
    runtime: str
    """What it runs on, with its version."""
    how: str = "proxy, HTTPS_PROXY"
    """The way to the router, with the variable that leads the client there."""


def matrix_cache() -> Path:
    """Return the cache folder, which exists afterwards."""
    named = os.environ.get(CACHE_VARIABLE)
    folder = Path(named).absolute() if named else platformdirs.user_cache_path("wiretape-matrix")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


class Tools:
    """Make programs of what lies in `tests/matrix`; `pytest.skip` where one cannot be made."""

    def __init__(self, cache: Path, quick_cache: Path, *, quick: bool) -> None:
        self._cache = cache
        self._quick_cache = quick_cache
        self._quick = quick
        self._reasons: dict[str, str] = {}
        """Why environments could not be made, by their names."""

    def python(self, client: str, package: str | None, requirements: str = "requirements.txt") -> Program:
        """Return a client of `python/client.py`; `package` is whose version counts, None for the language's own."""
        python = Path(sys.executable) if package is None else self._python_environment(requirements)
        ask = "import platform, sys; print(platform.python_version())"
        if package:
            ask += f"; from importlib.metadata import version; print(version({package!r}))"
        runtime, *versions = output([python, "-P", "-c", ask]).splitlines()
        command = (str(python), "-P", str(MATRIX / "python" / "client.py"), client)
        return Program(command, versions[0] if versions else runtime, f"Python {runtime}")

    def javascript(self, client: str, package: str | None, runtime: str = "Node") -> Program:
        """Return a client of `node/client.mjs`; `runtime` is the Node that is installed, or one of `RUNTIMES`."""
        engine = _program("node") if runtime == "Node" else self._runtime(RUNTIMES[runtime])
        folder = self._node_package(package) if package else self._made("node-none", "", _nothing)
        script = str(_beside(MATRIX / "node" / "client.mjs", folder))
        family = runtime.rpartition(" ")[2]
        number = output([engine, "--version"]).removeprefix("v").removeprefix("deno ").split()[0]
        version = _node_version(folder / "node_modules", package) if package else number
        run = ("run", "--quiet", "--allow-all", "--node-modules-dir=manual") if family == "Deno" else ()
        how = f"proxy, {_javascript_switch(family, number, client)}"
        return Program((str(engine), *run, script, client), version, f"{family} {number}", how)

    def go(self, client: str, module: str | None) -> Program:
        """Return a client of `go/main.go`; `module` is whose version counts, None for the language's own."""
        go = _program("go")
        program = self._go_program()
        facts = output([go, "version", "-m", program])
        runtime = facts.splitlines()[0].rpartition("go")[2]
        found = re.search(rf"^\tdep\t{re.escape(module)}\tv(\S+)", facts, re.MULTILINE) if module else None
        return Program((str(program), client), found[1] if found else runtime, f"Go {runtime}")

    def java(self, main: str, artifact: str | None) -> Program:
        """Return one of the programs in `java`; `artifact` is whose version counts, None for the language's own."""
        java = _program("java")
        folder = self._java_program(main, artifact)
        runtime = re.search(r"\b(\d+[0-9.]*)", output([java, "--version"]))
        assert runtime is not None
        jars = (path.stem for path in (folder / "lib").glob("*.jar"))
        versions = [jar.removeprefix(f"{artifact}-") for jar in jars if re.match(rf"{artifact}-\d", jar)]
        command = (str(java), "-cp", f"{folder / 'classes'}:{folder / 'lib'}/*", main)
        version = versions[0] if versions else runtime[1]
        return Program(command, version, f"Java {runtime[1]}", "proxy, JAVA_TOOL_OPTIONS")

    def rust(self) -> Program:
        """Return the program in `rust`."""
        folder = self._rust_program()
        lock = (folder / "Cargo.lock").read_text()
        found = re.search(r'name = "reqwest"\nversion = "([^"]+)"', lock)
        assert found is not None
        rustc = output([_program("rustc"), "--version"]).split()[1]
        return Program((str(folder / "matrix"),), found[1], f"Rust {rustc}")

    def curl(self) -> Program:
        """Return the script in `curl` with the curl that is installed."""
        curl = _program("curl")
        name, version, _, *libraries = output([curl, "--version"]).splitlines()[0].split()
        assert name == "curl"
        tls = next((library for library in libraries if "ssl" in library.lower()), "")
        return Program(("sh", str(MATRIX / "curl" / "client.sh"), str(curl)), version, tls.replace("/", " "))

    def agent(self, package: str, command: Sequence[str], *, on_node: bool) -> Program:
        """Return a coding agent from the npm registry: a program of a package, and its arguments."""
        folder = self._agent(package)
        name, *arguments = command
        version = _node_version(folder / "node_modules", package)
        runtime = f"Node {output([_program('node'), '-p', 'process.versions.node'])}" if on_node else "native"
        return Program((str(folder / "node_modules" / ".bin" / name), *arguments), version, runtime)

    def git(self) -> Program:
        """Return the git that is installed."""
        git = _program("git")
        return Program((str(git),), output([git, "--version"]).split()[2], "native")

    def _made(self, name: str, wanted: str, make: Callable[[Path], None]) -> Path:
        return self._once(name, lambda: made_once(self._cache, name, wanted, make))

    def _once(self, name: str, make: Callable[[], Path]) -> Path:
        """Make an environment; where that failed for another row already, say why and do not try again."""
        if name in self._reasons:
            pytest.skip(self._reasons[name])
        try:
            return make()
        except pytest.skip.Exception as skipped:
            self._reasons[name] = str(skipped)
            raise

    def _python_environment(self, requirements: str) -> Path:
        if self._quick:
            return self._once("sdk", lambda: python_with(self._quick_cache, "sdk", SDK_PACKAGES))
        lines = (MATRIX / "python" / requirements).read_text().splitlines()
        packages = [line for line in lines if line and not line.startswith("#")]
        name = requirements.removesuffix(".txt")
        return self._once(name, lambda: python_with(self._cache, name, packages))

    def _node_package(self, package: str) -> Path:
        """Make a folder for one package, since each row needs but one: whatever ails another is not its matter."""
        npm = _program("npm")
        wanted: str = json.loads((MATRIX / "node" / "package.json").read_text())["dependencies"][package]

        manifest = json.dumps({"private": True, "type": "module", "dependencies": {package: wanted}})

        def make(folder: Path) -> None:
            (folder / "package.json").write_text(manifest)
            install([npm, *NPM_INSTALL[1:], "--ignore-scripts", f"--prefix={folder}"], folder)

        return self._made(f"node-{package.rpartition('/')[2]}", manifest, make)

    def _runtime(self, package: str) -> Path:
        """Return a program from the npm registry; a script of the package picks the one for this machine."""
        name = package.partition("@")[0]
        npm = _program("npm")

        def make(folder: Path) -> None:
            install([npm, *NPM_INSTALL[1:], f"--prefix={folder}", package], folder)

        return self._made(f"runtime-{name}", package, make) / "node_modules" / ".bin" / name

    def _go_program(self) -> Path:
        return self._once("go", lambda: build_go(self._cache, "go", MATRIX / "go", needs_modules=True))

    def _java_program(self, main: str, artifact: str | None) -> Path:
        javac = _program("javac")
        source = MATRIX / "java" / f"{main}.java"
        manifest = MATRIX / "java" / "pom.xml"
        mvn = _program("mvn") if artifact else None

        def make(folder: Path) -> None:
            (folder / "lib").mkdir()
            if mvn:
                shutil.copy(manifest, folder)
                copy = ["dependency:copy-dependencies", f"-DoutputDirectory={folder / 'lib'}"]
                install([mvn, "--quiet", "--batch-mode", f"--file={folder / 'pom.xml'}", *copy], folder)
            classes: list[str | Path] = [
                "-encoding",
                "UTF-8",
                "-cp",
                f"{folder / 'lib'}/*",
                "-d",
                folder / "classes",
                source,
            ]
            install([javac, *classes], folder)

        wanted = source.read_text() + (manifest.read_text() if artifact else "")
        return self._made(f"java-{main}", wanted + output([_program("java"), "--version"]), make)

    def _rust_program(self) -> Path:
        cargo = _program("cargo")
        source = MATRIX / "rust"

        def make(folder: Path) -> None:
            # Here and not in the tree: Cargo writes a lock file beside its manifest.
            shutil.copy(source / "Cargo.toml", folder)
            shutil.copytree(source / "src", folder / "src")
            target = folder / "target"
            install([cargo, "build", "--quiet", f"--target-dir={target}"], folder)
            shutil.copy(target / "debug" / "matrix", folder)
            shutil.rmtree(target)

        texts = [path.read_text() for path in (source / "Cargo.toml", source / "src" / "main.rs")]
        return self._made("rust", "".join(texts), make)

    def _agent(self, package: str) -> Path:
        npm = _program("npm")

        def make(folder: Path) -> None:
            install([npm, *NPM_INSTALL[1:], f"--prefix={folder}", package], folder)

        return self._made(package.rpartition("/")[2], package, make)


def machine() -> str:
    """Say in a line what the matrix ran on, without a date: the system, and what wiretape itself needs."""
    try:
        system = platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        system = f"{platform.system()} {platform.release()}"
    own = f"Python {platform.python_version()}, mitmproxy {importlib.metadata.version('mitmproxy')}"
    return f"{system}, {platform.machine()}; wiretape on {own}"


def _program(name: str) -> Path:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return Path(found)


def _nothing(folder: Path) -> None:
    """Leave an environment empty."""


def _node_version(modules: Path, package: str) -> str:
    version: str = json.loads((modules / package / "package.json").read_text())["version"]
    return version


def _javascript_switch(family: str, version: str, client: str) -> str:
    """Name the variable that leads a JavaScript client to the proxy."""
    if client == "axios" or (family != "Node" and client != "node:https"):
        return "HTTPS_PROXY"
    major, minor = map(int, version.split(".")[:2])
    # Before there was a switch it is a preload; HTTP/2, which the AWS SDK speaks, is not covered by any.
    has_switch = family != "Node" or (major, minor) >= (24, 5) or (major == 22 and minor >= 21)
    return "NODE_USE_ENV_PROXY" if has_switch and client != AWS_SDK else "NODE_OPTIONS"


def _beside(source: Path, folder: Path) -> Path:
    """Copy a module to where it finds its packages: Node looks for them from where the file really is."""
    text = source.read_bytes()
    target = folder / f"{source.stem}-{hashlib.sha256(text).hexdigest()[:12]}{source.suffix}"
    if not target.exists():
        part = target.with_suffix(f".{os.getpid()}")
        part.write_bytes(text)
        part.replace(target)
    return target
