"""What `wiretape doctor` can tell without traffic: the daemon, its sessions' ports, the CA's files, this shell."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from addons.errors import ProxyError, StartError
from proxy_cli.ca import BUNDLE_FILE, RENEW_BEFORE, Authority, CaPaths, ca_paths, read_authority
from proxy_cli.control import Control, GoneError
from proxy_cli.doctor_findings import Finding, Verdict
from proxy_cli.environment import SESSION_VARIABLE, client_environment
from proxy_cli.javastore import trust_store
from proxy_cli.pem import certificates_in, loadable
from proxy_cli.trust import client_ca, system_roots

_CONNECT_SECONDS = 2.0
_ENVIRONMENT = 'eval "$(wiretape env)"'


@dataclass(frozen=True, slots=True)
class State:
    """What is there: the daemon's answer, and the session that is meant, if there is one."""

    sessions: Mapping[str, Mapping[str, Any]]
    chosen: str | None
    proxy: str | None
    """The URL for clients of the session that is meant, with its password: not to be shown."""


def daemon_state(control: Control, name: str | None, env: Mapping[str, str]) -> tuple[State, list[Finding]]:
    """Ask the daemon; the session that is meant is the one named, this shell's, or the only one."""
    try:
        status = control.status()
    except GoneError:
        verdict = Verdict.NOTE if name is None else Verdict.BAD
        finding = Finding("setup", "daemon", verdict, "not running", "wiretape start opens a session")
        return State({}, None, None), [finding]
    except ProxyError as exc:
        return State({}, None, None), [Finding("setup", "daemon", Verdict.BAD, str(exc))]
    sessions = {session["name"]: session for session in status["sessions"]}
    findings = [
        Finding("setup", "daemon", Verdict.OK, f"running (pid {status['daemon']['pid']})"),
        *(_port(session) for session in sessions.values() if name in {None, session["name"]}),
    ]
    if name is not None and name not in sessions:
        listed = ", ".join(sessions) or "none"
        findings.append(
            Finding(
                "setup",
                f"session {name}",
                Verdict.BAD,
                f"not open (open: {listed})",
                f"wiretape start {name}",
            )
        )
    chosen = name or env.get(SESSION_VARIABLE) or (next(iter(sessions)) if len(sessions) == 1 else None)
    if chosen is None or chosen not in sessions:
        return State(sessions, None, None), findings
    return State(sessions, chosen, control.proxy_of(chosen)), findings


def _port(session: Mapping[str, Any]) -> Finding:
    name, where = f"session {session['name']}", session["proxy"].removeprefix("http://")
    if session["problem"]:
        return Finding("setup", name, Verdict.BAD, session["problem"], "wiretape logs")
    host, _, port = where.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECONDS).close()
    except OSError as exc:
        text = f"nothing listens on {where}: {exc.strerror or exc}"
        return Finding(
            "setup", name, Verdict.BAD, text, f"wiretape stop {session['name']}, then start it again"
        )
    return Finding("setup", name, Verdict.OK, f"listens on {where}")


def ca_findings(home: Path, now: datetime | None = None) -> Iterator[Finding]:
    """Look at the CA and at every bundle as they lie there; nothing is made or mended."""
    paths = ca_paths(home)
    if not paths.key_file.exists():
        yield Finding("setup", "CA", Verdict.NOTE, "there is none yet; the first session makes one")
        return
    try:
        authority = read_authority(paths)
    except StartError as exc:
        yield Finding("setup", "CA", Verdict.BAD, str(exc))
        return
    yield _validity(authority, now or datetime.now(UTC))
    [current, *_] = certificates_in(paths.key_file.read_bytes())
    stem = BUNDLE_FILE.removesuffix(".pem")
    for bundle in sorted(paths.directory.glob(f"{stem}*.pem")):
        yield _bundle(bundle, current, paths)


def _validity(authority: Authority, now: datetime) -> Finding:
    left = authority.expires_at - now
    text = f"{authority.name}, until {authority.expires_at:%Y-%m-%d}"
    if left.total_seconds() <= 0:
        return Finding("setup", "CA", Verdict.BAD, f"{text}: expired", "wiretape start makes a new one")
    if left < RENEW_BEFORE:
        return Finding("setup", "CA", Verdict.NOTE, text, "the next wiretape start makes a new one")
    return Finding("setup", "CA", Verdict.OK, text)


def _bundle(bundle: Path, current: bytes, paths: CaPaths) -> Finding:
    mend = f"{_ENVIRONMENT} writes it anew"
    try:
        text = bundle.read_bytes()
        certificates = certificates_in(text)
    except OSError as exc:
        return Finding("setup", bundle.name, Verdict.BAD, f"cannot be read: {exc.strerror}", mend)
    wrong = []
    if (
        text.count(b"-----BEGIN CERTIFICATE-----") != len(certificates)
        or loadable(certificates) != certificates
    ):
        wrong.append("a certificate in it is damaged")
    if current not in certificates:
        wrong.append("the CA is not in it")
    missing = len(set(loadable(system_roots())) - set(certificates))
    if missing:
        wrong.append(f"{missing} of the system's roots are not in it")
    try:
        if bundle.with_suffix(paths.java_store.suffix).read_bytes() != trust_store(certificates):
            wrong.append("its form for Java holds something else")
    except OSError as exc:
        wrong.append(f"its form for Java cannot be read: {exc.strerror}")
    if wrong:
        return Finding("setup", bundle.name, Verdict.BAD, "; ".join(wrong), mend)
    return Finding("setup", bundle.name, Verdict.OK, f"{len(certificates)} certificates, the CA's among them")


def shell_findings(home: Path, state: State, env: Mapping[str, str]) -> Iterator[Finding]:
    """Compare this shell's variables with those that `wiretape env` would print."""
    named = env.get(SESSION_VARIABLE)
    if named is None:
        yield Finding(
            "shell", "shell", Verdict.NOTE, "its programs do not go through a session", _ENVIRONMENT
        )
    elif named not in state.sessions:
        advice = f'wiretape start {named}, or: eval "$(wiretape env --unset)"'
        yield Finding(
            "shell", "shell", Verdict.BAD, f"set up for session {named!r}, which is not open", advice
        )
    elif named == state.chosen and state.proxy is not None:
        expected = client_environment(state.proxy, client_ca(home, env), env, named)
        differing = [name for name, value in expected.items() if env.get(name) != value]
        if differing:
            text = f"not as session {named!r} needs it: {', '.join(differing)}"
            yield Finding("shell", "shell", Verdict.BAD, text, f'eval "$(wiretape env {named})"')
        else:
            yield Finding("shell", "shell", Verdict.OK, f"set up for session {named!r}")
    else:
        yield Finding("shell", "shell", Verdict.NOTE, f"set up for another session, {named!r}")
    exceptions = {
        entry.strip() for name in ("NO_PROXY", "no_proxy") for entry in env.get(name, "").split(",")
    }
    if "*" in exceptions:
        yield Finding(
            "shell", "NO_PROXY", Verdict.BAD, "`*` keeps every host from the proxy", "unset NO_PROXY no_proxy"
        )
