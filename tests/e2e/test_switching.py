"""The mode of a running session is changed: nobody who is connected notices, nothing is lost, nothing goes astray."""

from __future__ import annotations

import functools
import itertools
import threading

import pytest

from cassette import load
from tests.support.inprocess import InProcess
from tests.support.parentproxy import ParentProxy
from tests.support.rawclient import Http1, tunnel
from tests.support.switching import (
    BOTH_PROTOCOLS,
    FIRST,
    HOST,
    LAST,
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
from tests.support.wiretape import Session

__all__ = ["alone", "wiretape"]


@BOTH_PROTOCOLS
def test_what_was_recorded_is_replayed_on_the_same_connection(
    wiretape: InProcess, alpn: tuple[str, ...]
) -> None:
    with Upstream(Counting(), alpn=alpn) as upstream:
        session = wiretape.open(*upstream.options())
        client = Client(session, alpn)
        assert [client.ask("a"), client.ask("b")] == [b"answer 1", b"answer 2"]
        status = change_mode(wiretape, session, "replay-only")
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
    assert recorded(session) == [("a", b"answer 1"), ("b", b"answer 2")]


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
        status = change_mode(wiretape, session, "record-only")
        assert (status["records"], status["replays"]) == (True, False)
        assert (status["hits"], status["misses"]) == (1, 1)
        assert [client.ask("a"), client.ask("b")] == [b"answer 2", b"answer 3"]
        client.close()
        done = wiretape.run("stop", session.name)

    assert f"{session.name}: 2 interactions, 1 hit, 1 miss in" in done.stdout.decode()
    assert recorded(session) == [("a", b"answer 1"), ("a", b"answer 2"), ("b", b"answer 3")]
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
            change_mode(wiretape, session, mode)
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
        change_mode(wiretape, session, "record-only")
        client.ask("recorded")
        change_mode(wiretape, session, "passthrough")
        client.ask("passed")
        client.close()
        summary = wiretape.close(session)

    assert (summary["passed"], summary["interactions"]) == (2, 1)
    assert recorded(session) == [("recorded", b"answer 2")]


def test_record_once_replays_what_was_recorded_and_records_where_nothing_was(wiretape: InProcess) -> None:
    with Upstream(Counting()) as upstream:
        session = wiretape.open(*upstream.options())
        client = Client(session)
        assert change_mode(wiretape, session, "record-once")["records"]
        client.ask("a")
        status = change_mode(wiretape, session, "record-once")
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
        change_mode(wiretape, session, mode, "--drain-seconds=0.1")
        assert other.ask("a") == (b"answer 1" if mode == "replay-only" else b"answer 2")
        assert wiretape.session(session)["in_flight"] == 1
        script.gate.open()
        streaming.end_stream()
        if mode == "replay-only":  # it was not in the cassette when that was read
            assert streaming.ask("stream") == b"501"
            change_mode(wiretape, session, mode)
            assert streaming.ask("stream") == FIRST + LAST
        for client in (streaming, other):
            client.close()
        summary = wiretape.close(session)

    assert recorded(session) == [("a", b"answer 1"), ("stream", FIRST + LAST)]
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
            until("the change to begin", lambda: is_changing(wiretape, session))
            assert refused(wiretape, session.name, "passthrough")[0] == 4
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

    assert sorted(recorded(session)) == [("meanwhile", b"answer 1"), ("stream", FIRST + LAST)]


def test_replayed_stream_goes_on_while_the_session_records_again(wiretape: InProcess) -> None:
    script = Counting()
    script.gate.open()
    with Upstream(script) as upstream:
        session = wiretape.open("--timing=recorded", "--timing-factor=1", *upstream.options())
        client = Client(session)
        client.begin_stream()
        client.end_stream()
        change_mode(wiretape, session, "replay-only")
        client.begin_stream()
        change_mode(wiretape, session, "record-only")
        client.end_stream()
        assert client.ask("a") == b"answer 1"
        client.close()
        wiretape.close(session)
    assert recorded(session) == [("stream", FIRST + LAST), ("a", b"answer 1")]


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
        change_mode(wiretape, session, "replay-with-new-episodes")
        client = begins()
        change_mode(wiretape, session, "replay-only")
        client.send(b" }")  # not recorded yet: it goes to the upstream, where nothing else may go any more
        assert client.answer("POST").body == b"answer 2"
        assert Client(session).ask("b") == b"501"
        client.close()

        change_mode(wiretape, session, "replay-only")
        client = begins()
        change_mode(wiretape, session, "record-only")
        client.send(b" }")
        assert client.answer("POST").body == b"answer 2"
        client.close()
        wiretape.close(session)
        assert [one.target for one in upstream.received] == ["/v1/a", "/v1/late"]
    assert recorded(session) == [("a", b"answer 1"), ("late", b"answer 2")]


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
            change_mode(wiretape, session, mode)
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
        change_mode(wiretape, session, "replay-only")
        late = Client(session)
        assert [client.ask("a"), late.ask("b")] == [b"answer 1", b"501"]
        change_mode(wiretape, session, "record-only")
        assert [late.ask("b"), client.ask("c")] == [b"answer 2", b"answer 3"]
        for one in (client, late):
            one.close()
        wiretape.close(session)
    assert [url for url, _ in recorded(session)] == ["a", "b", "c"]
