"""`wiretape doctor -- COMMAND`: run it in a session of its own; tell what arrived and what went past the proxy."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from typing import TextIO

from proxy_cli.doctor_findings import Finding, Verdict
from proxy_cli.doctor_sockets import Connection, Watch
from proxy_cli.doctor_trial import Arrived, knows_option, recording
from proxy_cli.render import count

_MOST = 20
"""How many connections are listed."""

_ADVICE = (
    (
        "python",
        "aiohttp wants ClientSession(trust_env=True); http.client, urllib3.PoolManager and sockets read no variables",
    ),
    (
        "node|npm|tsx|next",
        "is NODE_OPTIONS changed on the way? its own sockets, gRPC and npm's undici 8 before Node 24 do not go along",
    ),
    (
        "java|gradle|mvn|kotlin|scala",
        "does it set a proxy or an HTTP client of its own that reads no -Dhttps.proxyHost?",
    ),
    ("bun|deno", "node:https wants NODE_USE_ENV_PROXY=1 there, and npm's undici reads nothing"),
    ("curl|git", "does its configuration name a proxy or `noproxy`?"),
)
"""By the name of the process: what such clients need."""


def watch_command(command: list[str], output: TextIO | None) -> Iterator[Finding]:
    """Run a command, its output going to `output` (None: where ours goes), and tell how its traffic went."""
    if shutil.which(command[0]) is None:
        yield Finding("command", command[0], Verdict.BAD, "not found, or cannot be executed")
        return
    with recording() as trial:
        try:
            process = subprocess.Popen(command, env=trial.environment, stdout=output)
        except OSError as exc:
            yield Finding("command", command[0], Verdict.BAD, f"cannot be executed: {exc.strerror}")
            return
        with Watch(process.pid, trial.proxy_address) as watch:
            status = _wait(process)
        arrived = trial.finish()
    yield Finding("command", command[0], Verdict.OK if status == 0 else Verdict.NOTE, f"exit status {status}")
    past = list(watch.past.values())
    yield from _arrivals(arrived, past)
    yield from _bypasses(past)


def _wait(process: subprocess.Popen[bytes]) -> int:
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            # The terminal has told the command as well; how it took that is part of the answer.
            continue


def _arrivals(arrived: Arrived, past: list[Connection]) -> Iterator[Finding]:
    for host, number in arrived.by_host().items():
        yield Finding("command", "arrived", Verdict.OK, f"{count(number, 'exchange')} with {host}")
    if arrived.elsewhere:
        text = f"{count(arrived.elsewhere, 'request or tunnel', 'requests or tunnels')} to hosts that are not recorded"
        advice = (
            ""
            if arrived.urls
            else "add a host that is to be recorded with --host, or `hosts` in the settings"
        )
        yield Finding("command", "arrived", Verdict.NOTE if advice else Verdict.OK, text, advice)
    elif not arrived.urls:
        seen = "; what went past it stands below" if past else ""
        advice = "" if past else "does the command call a router at all, and honour HTTPS_PROXY?"
        yield Finding("command", "arrived", Verdict.BAD, f"nothing came through the proxy{seen}", advice)


def _bypasses(past: list[Connection]) -> Iterator[Finding]:
    if not Watch.is_possible():
        yield Finding("command", "past the proxy", Verdict.SKIPPED, "can be found on Linux only")
        return
    for connection in past[:_MOST]:
        protocol = " (HTTP/3)" if connection.protocol == "udp" else ""
        text = f"{connection.process} (pid {connection.pid}) connected to {connection.address}{protocol}"
        # A database on this machine is no router; only people can tell.
        verdict = Verdict.NOTE if connection.is_local else Verdict.BAD
        yield Finding("command", "past the proxy", verdict, text, _advice(connection))
    if len(past) > _MOST:
        yield Finding("command", "past the proxy", Verdict.BAD, f"and {len(past) - _MOST} more addresses")
    if not past:
        yield Finding("command", "past the proxy", Verdict.OK, "no connection was seen")


def _advice(connection: Connection) -> str:
    if connection.protocol == "udp":
        return "turn HTTP/3 off in this client"
    advice = next(_matching(connection.process), "does it read HTTPS_PROXY, and does NO_PROXY list the host?")
    return advice + (
        "; else give its SDK the base URL of a listener: --reverse" if knows_option("--reverse") else ""
    )


def _matching(process: str) -> Iterator[str]:
    return (advice for names, advice in _ADVICE if re.match(names, process, re.IGNORECASE))
