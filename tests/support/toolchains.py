"""Other languages' tools, made ready once: Go programs, client environments of Python and of Node.

Everything is kept in pytest's cache folder, which git ignores, under a name that holds a hash of what it was
made from; a lock lets parallel test processes share it. Where a tool or its registry is missing, the tests
skip and say so.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
E2E = ROOT / "tests" / "e2e"
CLIENTS = E2E / "clients"
INTEROP = ROOT / "tests" / "interop"

SDK_PACKAGES = ("openai>=1.60", "anthropic>=0.40", "httpx[http2,socks]>=0.28")
"""httpx and mitmproxy 11.0.2 cannot share an environment (h11); our users' clients do not, either."""

NPM_INSTALL = (
    "npm", "install", "--no-save", "--no-package-lock", "--no-audit", "--no-fund", "--fetch-retries=0",
)  # fmt: skip
"""The beginning of a command that installs Node's packages without leaving a word about it."""

_INSTALL_DEADLINE_S = 300.0


@pytest.fixture(scope="session")
def tool_cache(pytestconfig: pytest.Config) -> Path:
    """The folder for what is built and installed; `pytest --cache-clear` empties it."""
    assert pytestconfig.cache is not None
    return pytestconfig.cache.mkdir("wiretape-toolchains")


@pytest.fixture(scope="session")
def go_client(tool_cache: Path) -> Path:
    """The Go program that sends the requests of a plan with net/http; needs nothing but Go."""
    return build_go(tool_cache, "goclient", E2E / "go", needs_modules=False)


@pytest.fixture(scope="session")
def go_vcr(tool_cache: Path) -> Path:
    """The Go program that records and replays with go-vcr; needs Go and its modules."""
    return build_go(tool_cache, "govcr", INTEROP / "go", needs_modules=True)


@pytest.fixture(scope="session")
def sdk_python(tool_cache: Path) -> Path:
    """The interpreter of an environment that holds the openai, anthropic and httpx packages."""
    return python_with(tool_cache, "sdk", SDK_PACKAGES)


@pytest.fixture(scope="session")
def node() -> str:
    """The path of Node."""
    found = shutil.which("node")
    if found is None:
        pytest.skip("Node is not installed")
    return found


@pytest.fixture(scope="session")
def curl() -> str:
    """The path of curl."""
    found = shutil.which("curl")
    if found is None:
        pytest.skip("curl is not installed")
    return found


def python_with(cache: Path, name: str, packages: Sequence[str]) -> Path:
    """Return the interpreter of an environment that holds these packages; skip the test when there is none."""

    def make(folder: Path) -> None:
        venv.create(folder, with_pip=True)
        python = folder / "bin" / "python"
        install([python, "-m", "pip", "install", "--quiet", "--retries=0", *packages], folder)

    return made_once(cache, name, "\n".join([sys.version, *packages]), make) / "bin" / "python"


def build_go(cache: Path, name: str, folder: Path, *, needs_modules: bool) -> Path:
    """Return the program that the Go module in a folder makes; skip the test where it cannot be built."""
    go = shutil.which("go")
    if go is None:
        pytest.skip("Go is not installed")
    sources = sorted([*E2E.glob("go/**/*"), *folder.rglob("*")])
    text = "".join(path.read_text() for path in sources if path.is_file())

    def make(target: Path) -> None:
        # A toolchain of the right version is not fetched: what is installed has to do.
        env = {**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly", "GOWORK": "off"}
        if needs_modules:
            # Nothing but the modules comes from outside, so a failure here is a registry out of reach.
            install([go, "mod", "download"], folder, env)
        built = subprocess.run(
            [go, "build", "-o", target / name, "."],
            cwd=folder,
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )
        if "requires go >=" in built.stderr:
            pytest.skip(f"Go is too old: {built.stderr.strip()}")
        if built.returncode != 0:
            pytest.fail(f"{name} does not build:\n{built.stderr}")

    return made_once(cache, name, output([go, "version"]) + text, make) / name


def made_once(cache: Path, name: str, wanted: str, make: Callable[[Path], None]) -> Path:
    """Return the folder that `make` filled for exactly this, filling it first where nobody has."""
    folder = cache / f"{name}-{hashlib.sha256(wanted.encode()).hexdigest()[:12]}"
    with _locked(cache / f"{name}.lock"):
        complete = folder / ".complete"
        if not complete.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            complete.touch()
    return folder


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def install(command: Sequence[str | Path], folder: Path, env: Mapping[str, str] | None = None) -> None:
    """Run an installer; skip the test with what it said when it cannot do it."""
    try:
        done = subprocess.run(
            list(map(str, command)),
            cwd=folder,
            env=None if env is None else dict(env),
            capture_output=True,
            text=True,
            timeout=_INSTALL_DEADLINE_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        pytest.skip(
            f"{command[0]} did not end within {_INSTALL_DEADLINE_S:.0f} s: is its registry out of reach?"
        )
    if done.returncode != 0:
        lines = (done.stderr.strip() or done.stdout.strip() or "it said nothing").splitlines()
        # npm, cargo, Maven and pip go on about what to try after they have said what is wrong.
        telling = next((line for line in lines if "error" in line.lower()), lines[-1])
        pytest.skip(f"{Path(command[0]).name} could not install: {telling}")


def output(command: Sequence[str | Path]) -> str:
    """Return what a command prints, without the line feed."""
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
