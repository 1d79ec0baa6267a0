"""Which of the runtimes on this machine would go through: each makes a real request to a session of its own.

Each gets exactly what `wiretape env` prints. What counts is what the session recorded: a client that was answered by
somebody else has not gone through.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from addons.access import Login
from proxy_cli.doctor_findings import Finding, Verdict
from proxy_cli.doctor_trial import HOST, probing

_PROGRAMS = Path(__file__).with_name("probes")
_AT_ONCE = 4
_SECONDS = 30.0
_BUILD_SECONDS = 120.0
"""For Go and Java, which compile first: Go its whole library when its cache is cold."""
_VERSION_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Probe:
    """One request of one runtime."""

    runtime: str
    way: str
    """What asks: a library's name, for people."""
    arguments: tuple[str, ...]
    """Behind the program; `{url}` is replaced."""
    program: str = ""
    """How it is started, if not by the runtime's name."""
    advice: str = ""
    """What to do when it does not go through."""
    seconds: float = _SECONDS

    @property
    def key(self) -> str:
        """Its name in the URL."""
        return re.sub("[^a-z0-9]", "-", f"{self.runtime}-{self.way}".lower())

    @property
    def url(self) -> str:
        """What it asks for."""
        return f"https://{HOST}/v1/{self.key}"


def _script(name: str) -> str:
    return str(_PROGRAMS / name)


_NODE_ADVICE = "is NODE_OPTIONS changed where it is started? Node before 18 is not supported"

_GO_ADVICE = (
    "Go trusts the keychain only: add the file of `wiretape ca path` to it"
    if sys.platform == "darwin"
    else ""
)

PROBES: tuple[Probe, ...] = (
    Probe("python", "urllib", (_script("probe.py"), "{url}"), program="python3"),
    Probe("node", "fetch", (_script("probe.mjs"), "{url}", "fetch"), advice=_NODE_ADVICE),
    Probe("node", "https", (_script("probe.mjs"), "{url}", "https"), advice=_NODE_ADVICE),
    Probe("deno", "fetch", ("run", "--allow-all", "--no-config", _script("probe.mjs"), "{url}", "fetch")),
    Probe("bun", "fetch", (_script("probe.mjs"), "{url}", "fetch")),
    Probe("go", "net/http", ("run", _script("probe.go"), "{url}"), seconds=_BUILD_SECONDS,
          advice=_GO_ADVICE),
    Probe("java", "HttpClient", (_script("Probe.java"), "{url}"), seconds=_BUILD_SECONDS,
          advice="does the program set -Dhttps.proxyHost or a trust store itself?"),
    Probe("curl", "https", ("-sS", "-o", "-", "{url}"), advice="does ~/.curlrc name a proxy or a CA?"),
    Probe("git", "https", ("ls-remote", "{url}"), advice="does git config set http.proxy or http.sslCAInfo?"),
)  # fmt: skip

RUNTIMES = tuple(dict.fromkeys(probe.runtime for probe in PROBES))

_VERSION_COMMANDS = {"go": ("version",), "java": ("-version",)}

_NO_COMPILER = re.compile(r"compiler module|jdk\.compiler|Could not find or load main class|could not open")
"""What `java FILE.java` says without a compiler (a JRE), and before JDK 11."""

_QUIET = {
    # What is installed has to do, and nobody is there to be asked.
    "GOTOOLCHAIN": "local",
    "GOWORK": "off",
    "GIT_TERMINAL_PROMPT": "0",
    "NO_COLOR": "1",
}


@dataclass(frozen=True, slots=True)
class _Tried:
    probe: Probe
    version: str
    said: str
    """What it said last, for people; empty when it ended well."""


def probe_runtimes(runtimes: Sequence[str], login: Login | None) -> list[Finding]:
    """Try every runtime of these that is installed, several at once; none takes longer than its limit."""
    found = {
        probe: shutil.which(probe.program or probe.runtime) for probe in PROBES if probe.runtime in runtimes
    }
    installed = {probe: path for probe, path in found.items() if path is not None}
    if not installed:
        return [Finding("runtime", "runtimes", Verdict.SKIPPED, "none of them is installed")]
    with probing(login) as trial, tempfile.TemporaryDirectory(prefix="wt-probe-") as folder:
        environment = {**trial.environment, **_QUIET}
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            tried = list(
                pool.map(lambda item: _try(item[0], item[1], environment, folder), installed.items())
            )
        arrived = {urlsplit(url).path.split("/")[2] for url in trial.finish().urls}
    return [_finding(each, arrived=each.probe.key in arrived) for each in tried]


def _try(probe: Probe, program: str, environment: Mapping[str, str], folder: str) -> _Tried:
    command = [program, *(argument.format(url=probe.url) for argument in probe.arguments)]
    try:
        done = _run(command, environment, folder, probe.seconds)
    except subprocess.TimeoutExpired:
        return _Tried(
            probe, _version(probe, program, environment, folder), f"no end within {probe.seconds:.0f} s"
        )
    except OSError as exc:
        return _Tried(probe, "", f"cannot be executed: {exc.strerror}")
    lines = [
        line.strip()
        for line in done.stderr.splitlines()
        if line.strip() and "Picked up JAVA_TOOL" not in line
    ]
    said = "the proxy wants a login" if done.stdout.strip() == "407" else " ".join(_telling(lines))
    if not said:
        said = f"exit status {done.returncode}" if done.returncode else "its request went elsewhere"
    return _Tried(probe, _version(probe, program, environment, folder), said)


def _telling(lines: Sequence[str]) -> Sequence[str]:
    """Choose what tells most: the last line in Python and Go, the first that names an error elsewhere."""
    named = [line for line in lines if re.search("error|exception|fatal|failed", line, re.IGNORECASE)]
    return [(named or list(lines))[0][:200]] if lines else []


def _run(
    command: Sequence[str], environment: Mapping[str, str], folder: str, seconds: float
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        env=environment,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=seconds,
        check=False,
    )


def _version(probe: Probe, program: str, environment: Mapping[str, str], folder: str) -> str:
    arguments = _VERSION_COMMANDS.get(probe.runtime, ("--version",))
    try:
        done = _run([program, *arguments], environment, folder, _VERSION_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    lines = [line for line in (done.stdout + done.stderr).splitlines() if "Picked up JAVA_TOOL" not in line]
    found = re.search(r"\d+\.\d+[.\d]*", "\n".join(lines))
    return f" {found[0]}" if found else ""


def _finding(tried: _Tried, *, arrived: bool) -> Finding:
    probe = tried.probe
    name = f"{probe.runtime}{tried.version} {probe.way}"
    if arrived:
        return Finding("runtime", name, Verdict.OK, "goes through and trusts the CA")
    if probe.runtime == "java" and "login" in tried.said:
        advice = "Java takes no login from variables; open the session on 127.0.0.1 without --proxy-auth"
        return Finding("runtime", name, Verdict.BAD, "reaches the proxy, but cannot log in", advice)
    if probe.runtime == "java" and _NO_COMPILER.search(tried.said):
        return Finding("runtime", name, Verdict.SKIPPED, "could not be tried: no JDK from 11 on")
    return Finding("runtime", name, Verdict.BAD, f"does not go through: {tried.said}", probe.advice)
