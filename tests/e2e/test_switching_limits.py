"""Changes of mode that cannot be, and those in whose midst a process dies or ends."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.inprocess import InProcess
from tests.support.switching import (
    HOST,
    Client,
    Counting,
    alone,
    change_mode,
    is_changing,
    recorded,
    refused,
    wiretape,
)
from tests.support.upstream import HTTP_1_ONLY, Upstream
from tests.support.waiting import until
from tests.support.wiretape import Session, clean_command

__all__ = ["alone", "wiretape"]


# what cannot be


def test_session_stays_as_it_was_where_there_is_nothing_to_replay(wiretape: InProcess) -> None:
    with Upstream(Counting()) as upstream:
        session = wiretape.open("--mode=passthrough", *upstream.options())
        client = Client(session)
        status, said = refused(wiretape, session.name, "replay-only")
        assert (status, said.count("\n")) == (3, 1)
        assert "there is no cassette to replay" in said
        session.cassette.write_bytes(b"no cassette\n")
        for mode in ("replay-only", "replay-with-new-episodes", "record-only", "record-once"):
            assert refused(wiretape, session.name, mode)[0] == 3
        shown = wiretape.session(session)
        assert (shown["mode"], shown["cassette"], shown["problem"]) == ("passthrough", None, "")
        assert client.ask("a") == b"answer 1"
        assert session.cassette.read_bytes() == b"no cassette\n"
        session.cassette.unlink()
        change_mode(wiretape, session, "record-only")
        assert client.ask("b") == b"answer 2"
        client.close()
        wiretape.close(session)
    assert recorded(session) == [("b", b"answer 2")]


def test_cassette_has_one_session_that_writes_it(wiretape: InProcess) -> None:
    with Upstream(Counting()) as upstream:
        writer = wiretape.open(*upstream.options())
        reader = wiretape.open("--mode=replay-only", *upstream.options(), cassette=writer.cassette)
        status, said = refused(wiretape, reader.name, "record-only")
        assert (status, f"session {writer.name!r}" in said) == (3, True)
        # It may go on to write what is under way, and record again.
        change_mode(wiretape, writer, "replay-only")
        assert refused(wiretape, reader.name, "record-only")[0] == 3
        wiretape.close(writer)
        change_mode(wiretape, reader, "record-only")
        wiretape.close(reader)


def test_what_is_no_mode_and_no_session_is_told(wiretape: InProcess) -> None:
    session = wiretape.open("--mode=passthrough")
    assert refused(wiretape, session.name, "replay")[0] == 2
    assert refused(wiretape)[0] == 2
    assert refused(wiretape, "a", "b", "passthrough")[0] == 2
    assert refused(wiretape, "nobody", "passthrough")[0] == 4
    wiretape.close(session)


def test_control_api_changes_the_mode(wiretape: InProcess) -> None:
    session = wiretape.open("--mode=passthrough")

    def put(body: bytes) -> tuple[int, dict[str, Any]]:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.connect(wiretape.status()["daemon"]["socket"])
            connection = http.client.HTTPConnection("wiretape")
            connection.sock = sock
            connection.request("PUT", f"/sessions/{session.name}/mode", body)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())

    status, answer = put(b'{"mode": "record-only", "drain_seconds": 1}')
    assert (status, answer["mode"], answer["records"]) == (200, "record-only", True)
    for body in (
        b"{}",
        b'{"mode": 1}',
        b'{"mode": "none"}',
        b'{"mode": "passthrough", "drain_seconds": "x"}',
    ):
        status, answer = put(body)
        assert (status, answer["error"]["exit_code"]) == (409, 2)
    wiretape.close(session)


# processes


def test_command_of_run_is_switched_from_another_terminal(wiretape: InProcess, tmp_path: Path) -> None:
    client = (
        "import sys, urllib.request\n"
        "for line in sys.stdin:\n"
        f"    print(urllib.request.urlopen('https://{HOST}/v1/' + line.strip()).read().decode(), flush=True)\n"
    )
    tape = tmp_path / "tape.yaml"
    with Upstream(Counting(), alpn=HTTP_1_ONLY) as upstream:
        command = clean_command([sys.executable, "-c", client])
        arguments = ["run", "--name=job", f"--cassette={tape}", *upstream.options(), "--", *command]
        with wiretape.popen(*arguments) as running:
            assert running.stdin is not None
            assert running.stdout is not None
            answers = []
            for mode in ("", "replay-only"):
                if mode:
                    (name,) = [
                        one["name"] for one in wiretape.status()["sessions"] if one["name"].startswith("job-")
                    ]
                    wiretape.run("mode", name, mode)
                running.stdin.write(b"a\n")
                running.stdin.flush()
                answers.append(running.stdout.readline())
            running.communicate(timeout=60)
        assert (answers, running.returncode, len(upstream.received)) == ([b"answer 1\n"] * 2, 0, 1)


@pytest.mark.parametrize("victim", ["worker_pid", "scribe_pid"])
def test_change_comes_about_though_a_process_dies_in_its_midst(alone: InProcess, victim: str) -> None:
    script = Counting()
    with Upstream(script, alpn=HTTP_1_ONLY) as upstream:
        session = alone.start("chat", *upstream.options())
        client = Client(session)
        client.ask("a")
        client.begin_stream()
        pid = alone.status()["daemon"][victim]
        with alone.popen("mode", "chat", "replay-only", "--drain-seconds=60") as switch:
            until("the change to begin", lambda: is_changing(alone, session))
            os.kill(pid, signal.SIGKILL)
            until("a successor", lambda: alone.status()["daemon"][victim] != pid)
            script.gate.open()
            assert switch.wait(60) == 0
        if victim == "scribe_pid":
            client.end_stream()
        client.close()

        later = _connected_again(session)
        assert alone.session(session)["mode"] == "replay-only"
        assert [later.ask("a"), later.ask("b")] == [b"answer 1", b"501"]
        change_mode(alone, session, "record-only")
        later.ask("b")
        later.close()
        alone.stop("chat")

    assert [url for url, _ in recorded(session)] == [
        "a",
        *(["stream"] if victim == "scribe_pid" else []),
        "b",
    ]


def _connected(session: Session) -> Client | None:
    try:
        return Client(session)
    except ConnectionError:
        return None


def _connected_again(session: Session) -> Client:
    client = until("the listener", lambda: _connected(session))
    assert client is not None
    return client


def test_killed_worker_is_succeeded_in_the_mode_that_was_last(alone: InProcess) -> None:
    with Upstream(Counting(), alpn=HTTP_1_ONLY) as upstream:
        session = alone.start("chat", *upstream.options())
        client = Client(session)
        client.ask("a")
        said = alone.run("mode", "replay-only").stdout.decode()  # the only session needs no name
        assert said == f"session chat on http://{session.proxy}, replaying chat.yaml\n"
        assert [client.ask("a"), client.ask("a")] == [b"answer 1", b"501"]
        client.close()
        assert alone.session(session)["hits"] == 1
        pid = alone.status()["daemon"]["worker_pid"]
        os.kill(pid, signal.SIGKILL)
        until("a successor", lambda: alone.status()["daemon"]["worker_pid"] != pid)
        later = _connected_again(session)
        assert later.ask("a") == b"501"  # what was used stays used
        shown = alone.session(session)
        assert (shown["mode"], shown["hits"], shown["misses"]) == ("replay-only", 1, 2)
        change_mode(alone, session, "record-only")
        assert later.ask("b") == b"answer 2"
        later.close()
        alone.stop("chat")
    assert [url for url, _ in recorded(session)] == ["a", "b"]


def test_stop_ends_a_change_that_waits(wiretape: InProcess) -> None:
    script = Counting()
    with Upstream(script, alpn=HTTP_1_ONLY) as upstream:
        session = wiretape.open(*upstream.options())
        client = Client(session)
        client.begin_stream()
        with wiretape.popen("mode", session.name, "replay-only", "--drain-seconds=3600") as switch:
            until("the change to begin", lambda: is_changing(wiretape, session))
            summary = wiretape.close(session, "--drain-seconds=0")
            assert switch.wait(60) == 4
        script.gate.open()
        client.close()
    assert (summary["mode"], summary["cut"], summary["interrupted"]) == ("record-only", 1, 1)
