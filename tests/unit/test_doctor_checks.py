from __future__ import annotations

import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from proxy_cli.ca import ensure_ca
from proxy_cli.control import Control
from proxy_cli.doctor_checks import State, ca_findings, daemon_state, shell_findings
from proxy_cli.doctor_findings import Finding, Verdict
from proxy_cli.environment import client_environment
from proxy_cli.places import Places
from proxy_cli.trust import client_ca

PROXY = "http://127.0.0.1:8080"
STATE = State({"main": {"name": "main"}}, "main", PROXY)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    client_ca(tmp_path / "home", {})
    return tmp_path / "home"


def by_name(home: Path, now: datetime | None = None) -> dict[str, Finding]:
    return {finding.name: finding for finding in ca_findings(home, now)}


def test_a_home_without_a_ca_is_no_mistake_and_stays_without(tmp_path: Path) -> None:
    [finding] = ca_findings(tmp_path / "home")
    assert finding.verdict is Verdict.NOTE
    assert not (tmp_path / "home").exists()


def test_a_whole_ca_and_a_whole_bundle_are_well(home: Path) -> None:
    found = by_name(home)
    assert {finding.verdict for finding in found.values()} == {Verdict.OK}
    assert found.keys() == {"CA", "bundle.pem"}


@pytest.mark.parametrize(("days", "verdict"), [(0, Verdict.OK), (70, Verdict.NOTE), (100, Verdict.BAD)])
def test_the_age_of_the_ca_is_told(days: int, verdict: Verdict, home: Path) -> None:
    assert by_name(home, datetime.now(UTC) + timedelta(days=days))["CA"].verdict is verdict


def test_a_bundle_that_lacks_the_ca_or_is_cut_is_bad(home: Path) -> None:
    bundle = home / "ca" / "bundle.pem"
    whole = bundle.read_bytes()
    own = ensure_ca(home).certificate.read_bytes().strip()
    for spoilt, why in (
        (whole.replace(own, b""), "the CA is not in it"),
        (whole[: len(whole) // 2], "roots are not in it"),
        (whole.replace(b"MII", b"\nAAA", 3), "damaged"),
    ):
        bundle.write_bytes(spoilt)
        finding = by_name(home)["bundle.pem"]
        assert (finding.verdict, why in finding.text) == (Verdict.BAD, True), finding.text


def test_a_missing_form_for_java_is_told(home: Path) -> None:
    (home / "ca" / "bundle.p12").unlink()
    assert "Java" in by_name(home)["bundle.pem"].text


def test_a_shell_that_is_set_up_is_well_and_one_that_was_changed_is_not(home: Path) -> None:
    env = client_environment(PROXY, client_ca(home, {}), {}, "main")
    [finding] = shell_findings(home, STATE, env)
    assert finding.verdict is Verdict.OK
    [finding] = shell_findings(home, STATE, env | {"https_proxy": "http://127.0.0.1:9"})
    assert (finding.verdict, "https_proxy" in finding.text) == (Verdict.BAD, True)


def test_a_shell_whose_session_is_gone_is_bad(home: Path) -> None:
    [finding] = shell_findings(home, STATE, {"WIRETAPE_SESSION": "other"})
    assert (finding.verdict, "'other'" in finding.text) == (Verdict.BAD, True)


def test_a_shell_that_excepts_every_host_is_bad(home: Path) -> None:
    verdicts = {
        finding.name: finding.verdict for finding in shell_findings(home, STATE, {"no_proxy": "a, *"})
    }
    assert verdicts == {"shell": Verdict.NOTE, "NO_PROXY": Verdict.BAD}


def test_no_daemon_is_bad_only_where_a_session_is_named(tmp_path: Path) -> None:
    control = Control(Places(tmp_path))
    for name, verdict in ((None, Verdict.NOTE), ("chat", Verdict.BAD)):
        _, [finding] = daemon_state(control, name, {})
        assert finding.verdict is verdict


class _Daemon(Control):
    """Answers as a daemon with these sessions does."""

    def __init__(self, sessions: list[dict[str, object]]) -> None:
        super().__init__(Places(Path("/nowhere")))
        self._sessions = sessions

    def status(self) -> dict[str, object]:
        return {"daemon": {"pid": 1}, "sessions": self._sessions}

    def proxy_of(self, name: str) -> str:
        return "http://me:word@127.0.0.1:1"


def test_a_port_on_which_nobody_listens_is_found() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        live = server.getsockname()[1]
        with socket.create_server(("127.0.0.1", 0)) as other:
            dead = other.getsockname()[1]
        sessions: list[dict[str, object]] = [
            {"name": name, "proxy": f"http://127.0.0.1:{port}", "problem": ""}
            for name, port in (("live", live), ("dead", dead))
        ]
        state, findings = daemon_state(_Daemon(sessions), None, {"WIRETAPE_SESSION": "live"})
    verdicts = {finding.name: finding.verdict for finding in findings}
    assert verdicts == {"daemon": Verdict.OK, "session live": Verdict.OK, "session dead": Verdict.BAD}
    assert (state.chosen, state.proxy) == ("live", "http://me:word@127.0.0.1:1")
