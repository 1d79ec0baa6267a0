"""What people are told of sessions and of the daemon."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cassette.recovery import Recovered
from proxy_cli import render

_NOTHING = {"websockets": 0, "too_long": 0, "refused": 0, "failed": 0, "blocked": 0}


def _session(**changes: Any) -> dict[str, Any]:
    session = {
        "name": "chat",
        "mode": "record-only",
        "changing": False,
        "port": 8899,
        "proxy": "http://127.0.0.1:8899",
        "reverse": [],
        "cassette": "/tapes/chat.yaml",
        "records": True,
        "replays": False,
        "interactions": 3,
        "interrupted": 0,
        "in_flight": 0,
        "passed": 0,
        "tunnels": 0,
        "cut": 0,
        "not_recorded": dict(_NOTHING),
        "failure": "",
        "journal_lag_bytes": 0,
        "problem": "",
    }
    return session | changes


def test_base_urls_are_told_with_what_they_stand_for() -> None:
    session = _session(reverse=[{"base_url": "http://127.0.0.1:8001", "upstream": "https://api.openai.com"}])
    line = "  http://127.0.0.1:8001 is https://api.openai.com"
    assert line in render.started(session).splitlines()
    daemon = {"pid": 1, "version": "1", "log": "/log", "workers": {"w1": 1}}
    assert line in render.status({"daemon": daemon, "sessions": [session]}).splitlines()


def test_start_says_what_to_do_next() -> None:
    text = render.started(_session())
    assert "http://127.0.0.1:8899" in text
    assert "recording to /tapes/chat.yaml" in text
    assert 'eval "$(wiretape env chat)"' in text
    assert "wiretape stop chat" in text


def test_default_session_needs_no_name() -> None:
    text = render.started(_session(name="default"))
    assert 'eval "$(wiretape env)"' in text
    assert text.endswith("wiretape stop")


def test_passthrough_says_that_nothing_is_recorded() -> None:
    assert "passing through" in render.started(_session(cassette=None))
    assert render.stopped(_session(cassette=None, passed=2)) == "chat: passed 2 requests through"


def test_replay_is_told_by_its_hits() -> None:
    changes = {"mode": "replay-only", "records": False, "replays": True, "interactions": 0}
    replay = _session(**changes, hits=2, misses=1, unused=4)
    assert "replaying /tapes/chat.yaml" in render.started(replay)
    assert render.stopped(replay) == "chat: 2 hits, 1 miss, 4 unused from /tapes/chat.yaml"


def test_new_episodes_are_told_beside_the_hits() -> None:
    both = _session(mode="replay-with-new-episodes", replays=True, interactions=1, hits=2, misses=1, unused=0)
    assert "replaying and recording to /tapes/chat.yaml" in render.started(both)
    assert render.stopped(both) == "chat: 1 interaction, 2 hits, 1 miss, 0 unused in /tapes/chat.yaml"


def test_what_came_before_a_change_of_mode_is_told_too() -> None:
    replayed = _session(hits=2, misses=1, miss_messages=[])
    assert render.stopped(replayed) == "chat: 3 interactions, 2 hits, 1 miss in /tapes/chat.yaml"
    recorded = _session(records=False, replays=True, hits=2, misses=0, unused=1)
    assert render.stopped(recorded) == "chat: 3 interactions, 2 hits, 0 misses, 1 unused in /tapes/chat.yaml"
    assert render.switched(recorded) == "session chat on http://127.0.0.1:8899, replaying /tapes/chat.yaml"
    passing = _session(records=False, mode="passthrough")
    assert render.switched(passing).endswith(", passing through")


def test_stop_says_no_more_than_there_is() -> None:
    assert render.stopped(_session()) == "chat: 3 interactions in /tapes/chat.yaml"
    assert render.stopped(_session(interactions=1)) == "chat: 1 interaction in /tapes/chat.yaml"


def test_stop_tells_everything_that_is_missing() -> None:
    missing = {"websockets": 1, "too_long": 2, "refused": 1, "failed": 1, "blocked": 3}
    text = render.stopped(
        _session(interrupted=2, cut=1, not_recorded=missing, problem="disk full", failure="make room")
    )
    assert text.splitlines() == [
        "chat: 3 interactions in /tapes/chat.yaml",
        "  2 interrupted: /tapes/chat.interrupted.yaml",
        "  1 exchange cut by the deadline",
        "  1 WebSocket passed, not recorded",
        "  2 bodies past max_body, not recorded",
        "  1 request without an answer from upstream",
        "  1 exchange NOT recorded (make room); see: wiretape logs",
        "  3 requests NOT passed on, for on_record_failure is block (make room)",
        "  problem: disk full; when it is solved: wiretape recover",
    ]


@pytest.mark.parametrize(
    ("changes", "lost"),
    [
        ({}, False),
        ({"interrupted": 1, "cut": 1}, False),
        ({"not_recorded": _NOTHING | {"websockets": 1, "too_long": 1, "refused": 1}}, False),
        ({"not_recorded": _NOTHING | {"failed": 1}}, True),
        ({"not_recorded": _NOTHING | {"blocked": 1}}, True),
        ({"problem": "disk full"}, True),
    ],
)
def test_loss_is_what_should_have_been_recorded(changes: dict[str, Any], lost: bool) -> None:
    assert render.has_loss(_session(**changes)) is lost


def test_status_without_a_daemon_says_how_to_start_one() -> None:
    assert render.status({"daemon": None, "sessions": []}).endswith("wiretape start")


def test_status_tells_of_each_session_what_is_not_zero() -> None:
    daemon = {"pid": 17, "version": "0.1", "log": "/home/daemon.log", "workers": {"w1": 18}}
    busy = _session(
        in_flight=2, passed=1, tunnels=4, interrupted=1, journal_lag_bytes=50, problem="disk full"
    )
    busy["not_recorded"]["too_long"] = 1
    text = render.status({"daemon": daemon, "sessions": [_session(name="calm"), busy]})
    assert "pid 17" in text
    calm_facts, busy_facts, problem = (line.strip() for line in text.splitlines() if line.startswith("  "))
    assert calm_facts == "3 interactions, 0 in flight"
    assert busy_facts == (
        "3 interactions, 2 in flight, 1 interrupted, 1 passed, 4 tunnels, 1 too long, 50 bytes behind"
    )
    assert problem == "problem: disk full"
    empty = render.status({"daemon": daemon, "sessions": []})
    assert "no session is open" in empty


def test_recovery_is_told_with_its_files() -> None:
    done = Recovered("chat", Path("/tapes/chat.yaml"), 2, 0)
    assert (
        render.recovered(done) == "wiretape: recovered session chat: 2 interactions added to /tapes/chat.yaml"
    )
    done = Recovered("chat", Path("/tapes/chat.yaml"), 1, 1)
    assert render.recovered(done).endswith(", 1 to /tapes/chat.interrupted.yaml")
    done = Recovered("chat", Path("/tapes/chat.yaml"), 0, 0, "disk full")
    assert "not recovered yet: disk full" in render.recovered(done)


def test_paths_are_shown_as_they_can_be_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert render.shown(str(folder / "cassettes" / "chat.yaml")) == "cassettes/chat.yaml"
    assert render.shown(str(tmp_path / "there.yaml")) == str(tmp_path / "there.yaml")
    assert render.shown(str(folder / "..odd" / "x.yaml")) == "..odd/x.yaml"
