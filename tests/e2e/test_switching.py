"""The mode of a running session is changed: nobody who is connected notices, nothing is lost, nothing goes astray."""

from __future__ import annotations

import functools
import http.client
import itertools
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cassette import load
from tests.support.inprocess import InProcess, shared_daemon
from tests.support.parentproxy import ParentProxy
from tests.support.rawclient import Http1, Http2, tunnel
from tests.support.scripts import Gate, Received, Reply, whole
from tests.support.upstream import HTTP_1_ONLY, HTTP_2_FIRST, Upstream
from tests.support.waiting import until
from tests.support.wiretape import Session, clean_command

HOST = "api.openai.com"
FIRST, LAST = b"data: first\n\n", b"data: last\n\n"
BOTH_PROTOCOLS = pytest.mark.parametrize("alpn", [HTTP_1_ONLY, HTTP_2_FIRST], ids=["http1", "http2"])


@pytest.fixture(scope="module")
def wiretape(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    with shared_daemon(tmp_path_factory, "switching") as command:
        yield command


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[InProcess]:
    """A daemon for a test that kills a part of it."""
    with InProcess(tmp_path) as command:
        yield command


class Counting:
    """An upstream's script: no two answers are the same; what ends in /stream waits in its middle."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self.gate = Gate("the stream may go on")

    def __call__(self, received: Received, reply: Reply) -> None:
        if not received.target.endswith("/stream"):
            whole(200, [], b"answer %d" % next(self._numbers))(received, reply)
            return
        reply.head(200, [("content-type", "text/event-stream")])
        reply.data(FIRST)
        self.gate.wait()
        reply.data(LAST)
        reply.end()


class Client:
    """One connection that is kept, through a tunnel to the host that is recorded."""

    def __init__(self, session: Session, alpn: tuple[str, ...] = HTTP_1_ONLY) -> None:
        sock = tunnel(session, HOST, alpn=alpn)
        self._http: Http1 | Http2 = Http2(sock) if "h2" in alpn else Http1(sock)
        self._stream = 0

    def ask(self, path: str) -> bytes:
        """Return the answer's body, or its status in place of an answer that is none."""
        answer = self._http.ask("GET", f"/v1/{path}")
        return answer.body if answer.status == 200 else str(answer.status).encode()

    def begin_stream(self) -> None:
        """Read to the middle of a stream."""
        if isinstance(self._http, Http2):
            self._stream = self._http.begin("GET", "/v1/stream")
            self._http.until(self._stream, FIRST)
        else:
            self._http.send(f"GET /v1/stream HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
            self._http.until(FIRST)

    def end_stream(self) -> None:
        """Read to its end."""
        if isinstance(self._http, Http2):
            assert self._http.answer(self._stream).body == FIRST + LAST
        else:
            self._http.until(LAST)
            self._http.until(b"0\r\n\r\n")

    def close(self) -> None:
        self._http.close()


def _switch(wiretape: InProcess, session: Session, mode: str, *options: str) -> dict[str, Any]:
    status: dict[str, Any] = json.loads(wiretape.run("mode", session.name, mode, "--json", *options).stdout)
    assert status["mode"] == mode
    return status


def _recorded(session: Session) -> list[tuple[str, bytes]]:
    found = load(session.cassette).interactions
    return [(one.request.url.removeprefix(f"https://{HOST}/v1/"), one.response.body) for one in found]


@BOTH_PROTOCOLS
def test_what_was_recorded_is_replayed_on_the_same_connection(
    wiretape: InProcess, alpn: tuple[str, ...]
) -> None:
    with Upstream(Counting(), alpn=alpn) as upstream:
        session = wiretape.open(*upstream.options())
        client = Client(session, alpn)
        assert [client.ask("a"), client.ask("b")] == [b"answer 1", b"answer 2"]
        status = _switch(wiretape, session, "replay-only")
        assert (status["records"], status["replays"], status["interactions"]) == (False, True, 2)
        assert [client.ask("b"), client.ask("a"), client.ask("c")] == [b"answer 2", b"answer 1", b"501"]
        assert len(upstream.received) == 2
        shown = wiretape.session(session)
        assert (shown["hits"], shown["misses"], shown["unused"]) == (2, 1, 0)
        assert shown["journal_lag_bytes"] == 0
        client.close()
        summary = wiretape.close(session)

    assert (summary["mode"], summary["interactions"], summary["hits"], summary["misses"]) == (
        "replay-only", 2, 2, 1,
    )  # fmt: skip
    assert _recorded(session) == [("a", b"answer 1"), ("b", b"answer 2")]


@BOTH_PROTOCOLS
def test_replay_becomes_a_recording_behind_what_was_there(wiretape: InProcess, alpn: tuple[str, ...]) -> None:
    with Upstream(Counting(), alpn=alpn) as upstream:
        first = wiretape.open(*upstream.options())
        client = Client(first, alpn)
        client.ask("a")
        client.close()
        wiretape.close(first)

        session = wiretape.open("--mode=replay-only", *upstream.options(), cassette=first.cassette)
        client = Client(session, alpn)
        assert [client.ask("a"), client.ask("b")] == [b"answer 1", b"501"]
        status = _switch(wiretape, session, "record-only")
        assert (status["records"], status["replays"]) == (True, False)
        assert (status["hits"], status["misses"]) == (1, 1)
        assert [client.ask("a"), client.ask("b")] == [b"answer 2", b"answer 3"]
        client.close()
        done = wiretape.run("stop", session.name)

    assert f"{session.name}: 2 interactions, 1 hit, 1 miss in" in done.stdout.decode()
    assert _recorded(session) == [("a", b"answer 1"), ("a", b"answer 2"), ("b", b"answer 3")]
    assert [one.id for one in load(session.cassette).interactions] == [0, 1, 2]


def test_every_mode_follows_on_every_other(wiretape: InProcess) -> None:
    modes = ("record-only", "replay-only", "passthrough", "replay-with-new-episodes")
    numbers = itertools.count()
    with Upstream(Counting()) as upstream:
        session = wiretape.open(*upstream.options())
        client = Client(session)
        old = client.ask("old")
        recorded = 1
        for mode in itertools.chain.from_iterable(itertools.permutations(modes, 2)):
            _switch(wiretape, session, mode)
            asked, new = len(upstream.received), f"new/{next(numbers)}"
            replays = mode.startswith("replay")
            assert (client.ask("old") == old) is replays
            assert client.ask(new).startswith(b"501" if mode == "replay-only" else b"answer")
            passed = {"replay-only": 0, "replay-with-new-episodes": 1}.get(mode, 2)
            assert len(upstream.received) - asked == passed
            recorded += 0 if mode == "passthrough" else passed
            # So that the next replay finds the first one.
            if not replays and mode != "passthrough":
                until("what was recorded", functools.partial(_holds, wiretape, session, recorded))
        client.close()
        summary = wiretape.close(session)

    assert summary["interactions"] == recorded
    assert len(load(session.cassette).interactions) == recorded
    assert not wiretape.run("recover").stderr


def _holds(wiretape: InProcess, session: Session, count: int) -> bool:
    found: bool = wiretape.session(session)["interactions"] == count
    return found


def test_passing_session_takes_to_recording_and_back(wiretape: InProcess) -> None:
    with Upstream(Counting()) as upstream:
        session = wiretape.open("--mode=passthrough", *upstream.options())
        client = Client(session)
        client.ask("passed")
        assert wiretape.session(session)["cassette"] is None
        _switch(wiretape, session, "record-only")
        client.ask("recorded")
        _switch(wiretape, session, "passthrough")
        client.ask("passed")
        client.close()
        summary = wiretape.close(session)

    assert (summary["passed"], summary["interactions"]) == (2, 1)
    assert _recorded(session) == [("recorded", b"answer 2")]


def test_record_once_replays_what_was_recorded_and_records_where_nothing_was(wiretape: InProcess) -> None:
    with Upstream(Counting()) as upstream:
        session = wiretape.open(*upstream.options())
        client = Client(session)
        assert _switch(wiretape, session, "record-once")["records"]
        client.ask("a")
        status = _switch(wiretape, session, "record-once")
        assert (status["records"], status["replays"]) == (False, True)
        assert client.ask("a") == b"answer 1"
        client.close()
        wiretape.close(session)


@BOTH_PROTOCOLS
@pytest.mark.parametrize("mode", ["replay-only", "passthrough"])
def test_stream_under_way_is_recorded_to_its_end(
    wiretape: InProcess, alpn: tuple[str, ...], mode: str
) -> None:
    script = Counting()
    with Upstream(script, alpn=alpn) as upstream:
        session = wiretape.open(*upstream.options())
        streaming, other = Client(session, alpn), Client(session, alpn)
        other.ask("a")
        streaming.begin_stream()
        _switch(wiretape, session, mode, "--drain-seconds=0.1")
        assert other.ask("a") == (b"answer 1" if mode == "replay-only" else b"answer 2")
        assert wiretape.session(session)["in_flight"] == 1
        script.gate.open()
        streaming.end_stream()
        if mode == "replay-only":  # it was not in the cassette when that was read
            assert streaming.ask("stream") == b"501"
            _switch(wiretape, session, mode)
            assert streaming.ask("stream") == FIRST + LAST
        for client in (streaming, other):
            client.close()
        summary = wiretape.close(session)

    assert _recorded(session) == [("a", b"answer 1"), ("stream", FIRST + LAST)]
    assert (summary["interactions"], summary["interrupted"], summary["cut"]) == (2, 0, 0)


def test_stream_that_ends_within_the_deadline_is_replayed_and_requests_go_on_meanwhile(
    wiretape: InProcess,
) -> None:
    script = Counting()
    with Upstream(script) as upstream:
        session = wiretape.open(*upstream.options())
        streaming, other = Client(session), Client(session)
        streaming.begin_stream()
        with wiretape.popen("mode", session.name, "replay-only", "--drain-seconds=60") as switch:
            until("the change to begin", lambda: _is_changing(wiretape, session))
            assert _refused(wiretape, session.name, "passthrough")[0] == 4
            assert other.ask("meanwhile") == b"answer 1"
            script.gate.open()
            streaming.end_stream()
            said, _ = switch.communicate(timeout=60)
        assert switch.returncode == 0
        assert b"replaying" in said
        assert streaming.ask("stream") == FIRST + LAST
        for client in (streaming, other):
            client.close()
        wiretape.close(session)

    assert sorted(_recorded(session)) == [("meanwhile", b"answer 1"), ("stream", FIRST + LAST)]


def _is_changing(wiretape: InProcess, session: Session) -> bool:
    return bool(wiretape.session(session)["changing"])


def test_replayed_stream_goes_on_while_the_session_records_again(wiretape: InProcess) -> None:
    script = Counting()
    script.gate.open()
    with Upstream(script) as upstream:
        session = wiretape.open("--timing=recorded", "--timing-factor=1", *upstream.options())
        client = Client(session)
        client.begin_stream()
        client.end_stream()
        _switch(wiretape, session, "replay-only")
        client.begin_stream()
        _switch(wiretape, session, "record-only")
        client.end_stream()
        assert client.ask("a") == b"answer 1"
        client.close()
        wiretape.close(session)
    assert _recorded(session) == [("stream", FIRST + LAST), ("a", b"answer 1")]


def test_request_that_began_before_the_change_gets_its_answer_as_then(wiretape: InProcess) -> None:
    head = f"POST /v1/late HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 4\r\n\r\n".encode()

    def begins() -> Http1:
        client = Http1(tunnel(session, HOST))
        client.send(head + b"{ ")
        until("the request", lambda: wiretape.session(session)["in_flight"])
        return client

    with Upstream(Counting(), alpn=HTTP_1_ONLY) as upstream:
        session = wiretape.open("--mode=replay-with-new-episodes", *upstream.options())
        Client(session).ask("a")
        _switch(wiretape, session, "replay-with-new-episodes")
        client = begins()
        _switch(wiretape, session, "replay-only")
        client.send(b" }")  # not recorded yet: it goes to the upstream, where nothing else may go any more
        assert client.answer("POST").body == b"answer 2"
        assert Client(session).ask("b") == b"501"
        client.close()

        _switch(wiretape, session, "replay-only")
        client = begins()
        _switch(wiretape, session, "record-only")
        client.send(b" }")
        assert client.answer("POST").body == b"answer 2"
        client.close()
        wiretape.close(session)
        assert [one.target for one in upstream.received] == ["/v1/a", "/v1/late"]
    assert _recorded(session) == [("a", b"answer 1"), ("late", b"answer 2")]


def test_clients_that_come_and_ask_during_changes_get_no_error(wiretape: InProcess) -> None:
    with Upstream(Counting(), alpn=HTTP_1_ONLY) as upstream:
        session = wiretape.open("--repeat", *upstream.options())
        first = Client(session)
        first.ask("a")
        over = threading.Event()
        failed: list[BaseException | bytes] = []
        asked = [0, 0]

        def asks(number: int, *, comes_anew: bool) -> None:
            client = Client(session)
            try:
                while not over.is_set():
                    if comes_anew:
                        client.close()
                        client = Client(session)
                    answer = client.ask("a")
                    asked[number] += 1
                    if not answer.startswith(b"answer"):
                        failed.append(answer)
            except BaseException as exc:  # for the test's thread
                failed.append(exc)
            client.close()

        threads = [threading.Thread(target=asks, args=(n,), kwargs={"comes_anew": n == 1}) for n in (0, 1)]
        for thread in threads:
            thread.start()
        for mode in ("replay-only", "record-only", "replay-with-new-episodes", "passthrough", "replay-only"):
            before = list(asked)
            _switch(wiretape, session, mode)
            until("answers", functools.partial(_have_grown, asked, before))
        over.set()
        for thread in threads:
            thread.join(30)
        first.close()
        summary = wiretape.close(session)

    assert failed == []
    assert summary["interactions"] == len(load(session.cassette).interactions)
    assert summary["misses"] == 0
    assert (summary["interrupted"], summary["not_recorded"]["failed"]) == (0, 0)


def _have_grown(now: list[int], before: list[int]) -> bool:
    return all(one > old + 1 for one, old in zip(now, before, strict=True))


def test_way_through_an_upstream_proxy_opens_with_the_recording(wiretape: InProcess) -> None:
    with (
        Upstream(Counting(), alpn=HTTP_1_ONLY) as upstream,
        ParentProxy("me", "a-word", ("127.0.0.1", upstream.port)) as parent,
    ):
        proxy = f"--upstream-proxy=http://me:a-word@127.0.0.1:{parent.port}"
        session = wiretape.open(f"--upstream-ca={upstream.ca_file}", proxy)
        client = Client(session)
        assert client.ask("a") == b"answer 1"
        _switch(wiretape, session, "replay-only")
        late = Client(session)
        assert [client.ask("a"), late.ask("b")] == [b"answer 1", b"501"]
        _switch(wiretape, session, "record-only")
        assert [late.ask("b"), client.ask("c")] == [b"answer 2", b"answer 3"]
        for one in (client, late):
            one.close()
        wiretape.close(session)
    assert [url for url, _ in _recorded(session)] == ["a", "b", "c"]


# what cannot be


def _refused(wiretape: InProcess, *arguments: str) -> tuple[int, str]:
    done = wiretape.run("mode", *arguments, check=False)
    return done.returncode, done.stderr.decode()


def test_session_stays_as_it_was_where_there_is_nothing_to_replay(wiretape: InProcess) -> None:
    with Upstream(Counting()) as upstream:
        session = wiretape.open("--mode=passthrough", *upstream.options())
        client = Client(session)
        status, said = _refused(wiretape, session.name, "replay-only")
        assert (status, said.count("\n")) == (3, 1)
        assert "there is no cassette to replay" in said
        session.cassette.write_bytes(b"no cassette\n")
        for mode in ("replay-only", "replay-with-new-episodes", "record-only", "record-once"):
            assert _refused(wiretape, session.name, mode)[0] == 3
        shown = wiretape.session(session)
        assert (shown["mode"], shown["cassette"], shown["problem"]) == ("passthrough", None, "")
        assert client.ask("a") == b"answer 1"
        assert session.cassette.read_bytes() == b"no cassette\n"
        session.cassette.unlink()
        _switch(wiretape, session, "record-only")
        assert client.ask("b") == b"answer 2"
        client.close()
        wiretape.close(session)
    assert _recorded(session) == [("b", b"answer 2")]


def test_cassette_has_one_session_that_writes_it(wiretape: InProcess) -> None:
    with Upstream(Counting()) as upstream:
        writer = wiretape.open(*upstream.options())
        reader = wiretape.open("--mode=replay-only", *upstream.options(), cassette=writer.cassette)
        status, said = _refused(wiretape, reader.name, "record-only")
        assert (status, f"session {writer.name!r}" in said) == (3, True)
        # It may go on to write what is under way, and record again.
        _switch(wiretape, writer, "replay-only")
        assert _refused(wiretape, reader.name, "record-only")[0] == 3
        wiretape.close(writer)
        _switch(wiretape, reader, "record-only")
        wiretape.close(reader)


def test_what_is_no_mode_and_no_session_is_told(wiretape: InProcess) -> None:
    session = wiretape.open("--mode=passthrough")
    assert _refused(wiretape, session.name, "replay")[0] == 2
    assert _refused(wiretape)[0] == 2
    assert _refused(wiretape, "a", "b", "passthrough")[0] == 2
    assert _refused(wiretape, "nobody", "passthrough")[0] == 4
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
            until("the change to begin", lambda: _is_changing(alone, session))
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
        _switch(alone, session, "record-only")
        later.ask("b")
        later.close()
        alone.stop("chat")

    assert [url for url, _ in _recorded(session)] == [
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
        _switch(alone, session, "record-only")
        assert later.ask("b") == b"answer 2"
        later.close()
        alone.stop("chat")
    assert [url for url, _ in _recorded(session)] == ["a", "b"]


def test_stop_ends_a_change_that_waits(wiretape: InProcess) -> None:
    script = Counting()
    with Upstream(script, alpn=HTTP_1_ONLY) as upstream:
        session = wiretape.open(*upstream.options())
        client = Client(session)
        client.begin_stream()
        with wiretape.popen("mode", session.name, "replay-only", "--drain-seconds=3600") as switch:
            until("the change to begin", lambda: _is_changing(wiretape, session))
            summary = wiretape.close(session, "--drain-seconds=0")
            assert switch.wait(60) == 4
        script.gate.open()
        client.close()
    assert (summary["mode"], summary["cut"], summary["interrupted"]) == ("record-only", 1, 1)
