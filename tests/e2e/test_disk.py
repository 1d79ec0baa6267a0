"""Disks that are full, read-only or elsewhere, and cassettes that somebody deletes or edits while they grow.

The traffic never notices; what was lost is counted, and what was not is in the cassette when the disk is back.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from cassette import store
from cassette.emitter import EMPTY_DOCUMENT
from cassette.segments import OVERFLOW_BYTES
from tests.support.golike import GoLikeClient
from tests.support.inprocess import InProcess, shared_daemon
from tests.support.rawclient import Http1, tunnel
from tests.support.scripts import Framing, Gate, Received, Reply, whole
from tests.support.smalldisk import fill, mounted
from tests.support.upstream import HTTP_1_ONLY, Upstream
from tests.support.waiting import until
from tests.support.wiretape import Session

HOST = "api.openai.com"
MB = 1 << 20
ROOM = "No space left on device; make room on the disk"
LINE = b"A line of an answer that is as long as such lines are.\n"


def body_of(size: int) -> bytes:
    return (LINE * (size // len(LINE) + 1))[:size]


def answer(request: Received, reply: Reply) -> None:
    """Answer `/v1/SIZE/NAME` with so many bytes."""
    whole(200, [("Content-Type", "text/plain")], body_of(int(request.target.split("/")[2])))(request, reply)


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream(answer) as server:
        yield server


@pytest.fixture
def wiretape(tmp_path: Path) -> Iterator[InProcess]:
    """A daemon whose home is a disk of its own, with room for eight segments of the journal."""
    command = InProcess(tmp_path)
    with mounted(command.home, "size=34m"), command:
        yield command


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    """A daemon for the tests that only a cassette's disk troubles."""
    with shared_daemon(tmp_path_factory, "disk") as command:
        yield command


@pytest.fixture
def cassettes(tmp_path: Path) -> Iterator[Path]:
    """A folder on another disk, with room for 512 KiB."""
    where = tmp_path / "other-disk"
    where.mkdir()
    with mounted(where, "size=512k"):
        yield where


def ask(session: Session, size: int, name: str) -> None:
    """Ask for so many bytes and check every one."""
    seen = hashlib.sha256()
    with GoLikeClient(proxy=session.proxy, ca_file=session.bundle) as client:
        url = f"https://{HOST}/v1/{size}/{name}"
        assert (
            client.request("GET", url, [("Accept-Encoding", "identity")], on_chunk=seen.update).status == 200
        )
    assert seen.digest() == hashlib.sha256(body_of(size)).digest()


def read_to_the_end(sock: socket.socket) -> None:
    while sock.recv(MB):
        pass


def names(session: Session) -> list[str]:
    recorded = store.load(session.cassette)
    assert [one.id for one in recorded.interactions] == list(range(len(recorded.interactions)))
    assert all(
        one.response.body == body_of(int(one.request.url.split("/")[4])) for one in recorded.interactions
    )
    return [one.request.url.rpartition("/")[2] for one in recorded.interactions]


def problem(wiretape: InProcess, session: Session) -> str:
    return str(wiretape.session(session)["problem"])


def interactions(wiretape: InProcess, session: Session) -> int:
    return int(wiretape.session(session)["interactions"])


def fill_home(wiretape: InProcess, session: Session) -> Path:
    """Leave no room for the journal; its first segments are there."""
    until("segments to be made ready", lambda: len(list(wiretape.home.glob("journals/*/*.seg"))) >= 3)
    ask(session, 10, "before")
    until("it to be written", lambda: interactions(wiretape, session) == 1)
    return fill(wiretape.home)


def test_home_that_is_full_for_a_while_loses_nothing(wiretape: InProcess, upstream: Upstream) -> None:
    session = wiretape.open(*upstream.options())
    filler = fill_home(wiretape, session)
    ask(session, 20 * MB, "long")
    until("the problem to show", lambda: ROOM in problem(wiretape, session))
    for name in ("short", "brief"):
        ask(session, 1000, name)
    assert f"problem: {wiretape.home}" in wiretape.run("status").stdout.decode()
    filler.unlink()
    until("the problem to be over", lambda: not problem(wiretape, session))
    ask(session, 10, "after")
    summary = wiretape.close(session)

    assert names(session) == ["before", "long", "short", "brief", "after"]
    assert (summary["not_recorded"]["failed"], summary["problem"]) == (0, "")
    refused = [line for line in wiretape.log.splitlines() if "journal.refused" in line]
    assert len(refused) == 1
    assert refused[0].endswith(ROOM)
    assert wiretape.log.count("journal.resumed") == 1


def test_what_a_full_home_takes_from_the_recording_is_counted_and_said(
    wiretape: InProcess, upstream: Upstream
) -> None:
    session = wiretape.open(*upstream.options())
    filler = fill_home(wiretape, session)
    too_much = OVERFLOW_BYTES + 13 * MB
    ask(session, too_much, "lost")
    assert wiretape.session(session)["not_recorded"]["failed"] == 1
    ask(session, 10, "meanwhile")
    filler.unlink()
    until("the problem to be over", lambda: not problem(wiretape, session))
    ask(session, 10, "after")
    done = wiretape.run("stop", session.name, check=False)

    assert done.returncode == 1
    assert b"1 exchange NOT recorded (" in done.stdout
    assert ROOM.encode() in done.stdout
    assert names(session) == ["before", "meanwhile", "after"]
    told = [line for line in wiretape.log.splitlines() if "record.failed" in line]
    assert len(told) == 1
    assert told[0].endswith(ROOM)


def test_home_that_is_full_to_the_end_makes_stop_fail(wiretape: InProcess, upstream: Upstream) -> None:
    session = wiretape.open(*upstream.options())
    filler = fill_home(wiretape, session)
    ask(session, 20 * MB, "lost")
    until("the problem to show", lambda: ROOM in problem(wiretape, session))
    done = wiretape.run("stop", session.name, check=False)

    assert done.returncode == 1
    assert b"1 exchange NOT recorded" in done.stdout
    filler.unlink()
    wiretape.run("daemon", "stop")
    wiretape.run("recover")
    assert names(session) == ["before"]
    assert list(wiretape.home.glob("journals/*")) == []


def test_session_is_not_opened_in_a_home_that_is_full(wiretape: InProcess, upstream: Upstream) -> None:
    session = wiretape.open(*upstream.options())
    filler = fill_home(wiretape, session)
    refused = wiretape.run("start", "second", "--cassette=second.yaml", check=False)
    ask(session, 10, "still")

    assert refused.returncode == 3
    assert b"No space left on device" in refused.stderr
    assert not (wiretape.folder / "second.yaml").exists()
    filler.unlink()
    wiretape.run("start", "second", "--cassette=second.yaml")


def test_first_start_in_a_home_that_is_full_says_what_to_do_and_leaves_nothing(tmp_path: Path) -> None:
    command = InProcess(tmp_path)
    tape = tmp_path / "tape.yaml"
    tape.write_bytes(EMPTY_DOCUMENT)
    with mounted(command.home, "size=64k"), command:
        filler = fill(command.home)
        refused = [
            command.run("start", "first", *options, check=False)
            for options in ([f"--cassette={tape}", "--append"], [f"--cassette={tmp_path / 'new.yaml'}"])
        ]
        filler.unlink()
        assert command.run("status", "--json", check=False).stdout.strip().endswith(b"}")
    for done in refused:
        assert done.returncode == 3
        (line,) = done.stderr.decode().splitlines()
        assert line.endswith(
            "No space left on device; make room on the disk, or set WIRETAPE_HOME to a folder on another one"
        )
    assert tape.read_bytes() == EMPTY_DOCUMENT
    assert not (tmp_path / "new.yaml").exists()


def test_worker_that_dies_while_the_home_is_full_is_succeeded_at_once(
    wiretape: InProcess, upstream: Upstream
) -> None:
    session = wiretape.open(*upstream.options())
    filler = fill_home(wiretape, session)
    worker = wiretape.status()["daemon"]["worker_pid"]
    os.kill(worker, signal.SIGKILL)
    until("its port to be open again", lambda: _can_ask(session))
    ask(session, 100_000, "full")
    until("the problem to show", lambda: ROOM in problem(wiretape, session))
    assert wiretape.session(session)["not_recorded"]["failed"] == 0
    filler.unlink()
    until("the problem to be over", lambda: not problem(wiretape, session))
    ask(session, 10, "after")
    summary = wiretape.close(session)

    assert [name for name in names(session) if name != "again"] == ["before", "full", "after"]
    assert (summary["not_recorded"]["failed"], summary["problem"]) == (0, "")


def _can_ask(session: Session) -> bool:
    try:
        ask(session, 10, "again")
    except OSError:
        return False
    return True


def test_cassettes_disk_that_is_full_for_a_while_loses_nothing(
    shared: InProcess, upstream: Upstream, cassettes: Path
) -> None:
    session = shared.open(*upstream.options(), cassette=cassettes / "tape.yaml")
    ask(session, 1000, "before")
    until("it to be written", lambda: interactions(shared, session) == 1)
    filler = fill(cassettes)
    for number in range(10):
        ask(session, 10_000, f"full-{number}")
    until("the problem to show", lambda: ROOM in problem(shared, session))
    assert shared.session(session)["journal_lag_bytes"] > 0
    filler.unlink()
    until("all to be written", lambda: interactions(shared, session) == 11)
    summary = shared.close(session)

    assert names(session) == ["before", *(f"full-{number}" for number in range(10))]
    assert summary["problem"] == ""
    of_this = f"session={session.name}"
    blocked = [line for line in shared.log.splitlines() if "scribe.blocked" in line and of_this in line]
    assert len(blocked) == 1
    assert blocked[0].endswith(ROOM)
    assert shared.log.count(f"scribe.resumed {of_this}") == 1


def test_cassettes_disk_that_is_full_to_the_end_is_left_to_recover(
    wiretape: InProcess, upstream: Upstream, cassettes: Path
) -> None:
    session = wiretape.open(*upstream.options(), cassette=cassettes / "tape.yaml")
    filler = fill(cassettes)
    for number in range(3):
        ask(session, 10_000, f"full-{number}")
    done = wiretape.run("stop", session.name, check=False)

    assert done.returncode == 1
    assert f"{ROOM}; when it is solved: wiretape recover".encode() in done.stdout
    filler.unlink()
    wiretape.run("daemon", "stop")
    assert b"3 interactions added" in wiretape.run("recover").stderr
    assert names(session) == ["full-0", "full-1", "full-2"]


def test_cassettes_disk_that_turns_read_only_is_waited_for(
    shared: InProcess, upstream: Upstream, tmp_path: Path
) -> None:
    folder = tmp_path / "tapes"
    folder.mkdir()
    session = shared.open(*upstream.options(), cassette=folder / "tape.yaml")
    ask(session, 10, "before")
    until("it to be written", lambda: interactions(shared, session) == 1)
    # One in the place of the other: a disk that is written to cannot be made read-only (mount(2), EBUSY).
    with mounted(folder, "ro"):
        ask(session, 10, "meanwhile")
        until(
            "the problem to show",
            lambda: "Read-only file system; choose a place that is not" in problem(shared, session),
        )
        ask(session, 10, "on")
    until("the problem to be over", lambda: not problem(shared, session))
    shared.stop(session.name)

    assert names(session) == ["before", "meanwhile", "on"]


def test_cassette_that_is_deleted_begins_anew_with_what_comes(
    shared: InProcess, upstream: Upstream, cassettes: Path
) -> None:
    session = shared.open(*upstream.options(), cassette=cassettes / "tape.yaml")
    ask(session, 10, "deleted")
    until("it to be written", lambda: interactions(shared, session) == 1)
    session.cassette.unlink()
    ask(session, 10, "new")
    shared.stop(session.name)

    assert names(session) == ["new"]


def test_cassette_that_is_edited_keeps_the_edit_and_grows_behind_it(
    shared: InProcess, upstream: Upstream, cassettes: Path
) -> None:
    session = shared.open(*upstream.options(), cassette=cassettes / "tape.yaml")
    ask(session, 10, "original")
    until("it to be written", lambda: interactions(shared, session) == 1)
    text = session.cassette.read_bytes()
    session.cassette.write_bytes(text.replace(b"/original", b"/edited-by-hand"))
    ask(session, 10, "next")
    shared.stop(session.name)

    assert names(session) == ["edited-by-hand", "next"]


def test_cassette_that_is_spoilt_is_left_alone_until_it_is_mended(
    shared: InProcess, upstream: Upstream, cassettes: Path
) -> None:
    session = shared.open(*upstream.options(), cassette=cassettes / "tape.yaml")
    session.cassette.write_bytes(b"notes of mine\n")
    ask(session, 10, "one")
    until("the problem to show", lambda: "is not a cassette" in problem(shared, session))
    ask(session, 10, "two")
    assert session.cassette.read_bytes() == b"notes of mine\n"
    session.cassette.write_bytes(EMPTY_DOCUMENT)
    shared.stop(session.name)

    assert names(session) == ["one", "two"]


# on_record_failure: block


def test_requests_that_cannot_be_recorded_are_not_passed_on_where_that_is_asked_for(
    wiretape: InProcess, upstream: Upstream
) -> None:
    wiretape.environment["WIRETAPE_ON_RECORD_FAILURE"] = "block"
    session = wiretape.open(*upstream.options())
    filler = fill_home(wiretape, session)
    until("the journal to need room", lambda: _fails(session) or problem(wiretape, session))
    received = len(upstream.received)
    with contextlib.closing(tunnel(session, HOST)) as sock:
        client = Http1(sock)
        refused = client.ask("POST", "/v1/10/x", [("Content-Type", "application/json")], b"{}")
        again = client.ask("POST", "/v1/10/x", body=b"x" * 100_000)
    assert (refused.status, refused.header("wiretape-error")) == (503, "recording_failed")
    assert ROOM.encode() in refused.body
    assert again.status == 503
    assert len(upstream.received) == received
    filler.unlink()
    until("the problem to be over", lambda: not problem(wiretape, session))
    ask(session, 10, "after")
    done = wiretape.run("stop", session.name, check=False)

    assert done.returncode == 1
    assert b"2 requests NOT passed on, for on_record_failure is block" in done.stdout
    assert names(session)[-1] == "after"
    assert wiretape.log.count("record.blocked") == 1


def _fails(session: Session) -> bool:
    """Ask for more than fits into a segment."""
    try:
        ask(session, 5 * MB, "much")
    except (OSError, AssertionError):
        return True
    return False


def test_answers_whose_recording_fails_half_way_are_broken_off_where_that_is_asked_for(
    wiretape: InProcess,
) -> None:
    wiretape.environment["WIRETAPE_ON_RECORD_FAILURE"] = "block"
    gate = Gate("the disk to be full")
    ways = {
        "/v1/length": ([("Content-Length", str(8 * MB))], Framing.AUTO),
        "/v1/chunked": ([], Framing.AUTO),
        "/v1/to-the-end": ([], Framing.EOF),
    }

    def long(request: Received, reply: Reply) -> None:
        if request.target not in ways:
            answer(request, reply)
            return
        headers, framing = ways[request.target]
        reply.head(200, headers, framing=framing)
        reply.data(body_of(MB))
        gate.wait()
        with contextlib.suppress(OSError):  # the proxy may hang up on it
            for _ in range(7):
                reply.data(body_of(MB))
            reply.end()

    with Upstream(long, alpn=HTTP_1_ONLY) as upstream, contextlib.ExitStack() as stack:
        session = wiretape.open(*upstream.options())
        clients = []
        for path in ways:
            sock = stack.enter_context(contextlib.closing(tunnel(session, HOST)))
            sock.suppress_ragged_eofs = False  # type: ignore[attr-defined] # what has no close_notify is no end
            sock.sendall(f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
            assert b" 200 " in sock.recv(50)
            clients.append(sock)
        filler = fill_home(wiretape, session)
        gate.open()
        for sock in clients:
            with pytest.raises(OSError, match=r"reset|EOF"):
                read_to_the_end(sock)
        assert wiretape.session(session)["not_recorded"]["failed"] == 3
        filler.unlink()
        until("the problem to be over", lambda: not problem(wiretape, session))
        ask(session, 10, "after")
        assert wiretape.run("stop", session.name, check=False).returncode == 1

    assert names(session) == ["before", "after"]
