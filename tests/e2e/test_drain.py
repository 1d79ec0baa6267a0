"""The end of a session: what is in flight may end, up to a deadline; then it is cut and accounted for."""

from __future__ import annotations

import functools
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.support.inprocess import InProcess, shared_daemon
from tests.support.rawclient import Http1, Http2, connect, dial, tunnel
from tests.support.rawserver import RawServer, read_until
from tests.support.recorded import interactions
from tests.support.scripts import Gate, Handler, Received, Reply, whole
from tests.support.upstream import HTTP_1_ONLY, HTTP_2_FIRST, Upstream
from tests.support.waiting import has_ended, until
from tests.support.wiretape import Session, Wiretape

HOST = "api.openai.com"
FIRST, LAST = b"data: first\n\n", b"data: last\n\n"
BOTH_PROTOCOLS = pytest.mark.parametrize("alpn", [HTTP_1_ONLY, HTTP_2_FIRST], ids=["http1", "http2"])


@pytest.fixture(scope="module")
def wiretape(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    with shared_daemon(tmp_path_factory, "drain") as command:
        yield command


def _stream(gate: Gate) -> Handler:
    def script(received: Received, reply: Reply) -> None:
        reply.head(200, [("content-type", "text/event-stream")])
        reply.data(FIRST)
        gate.wait()
        reply.data(LAST)
        reply.end()

    return script


class _Streaming:
    """A client in the middle of a stream, whatever it speaks."""

    def __init__(self, session: Session, alpn: tuple[str, ...]) -> None:
        self.client: Http1 | Http2
        if "h2" in alpn:
            self.client = Http2(tunnel(session, HOST, alpn=alpn))
            self._stream = self.client.begin("POST", "/v1", (), b"{}")
            self.client.until(self._stream, FIRST)
        else:
            self.client = Http1(tunnel(session, HOST))
            self.client.send(f"POST /v1 HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 2\r\n\r\n{{}}".encode())
            self.client.until(FIRST)

    def rest(self) -> None:
        """Read to the end of the stream."""
        if isinstance(self.client, Http2):
            assert self.client.answer(self._stream).body == FIRST + LAST
        else:
            self.client.until(LAST)
            self.client.until(b"0\r\n\r\n")


def _is_closed(session: Session) -> bool:
    try:
        dial(session).close()
    except ConnectionRefusedError:
        return True
    return False


def _interrupted(cassette: Path) -> Path:
    return cassette.with_name(f"{cassette.stem}.interrupted.yaml")


@BOTH_PROTOCOLS
def test_stream_that_ends_within_the_deadline_is_recorded_whole(
    alpn: tuple[str, ...], wiretape: InProcess
) -> None:
    gate = Gate("the session to stop accepting")
    with Upstream(_stream(gate), alpn=alpn) as upstream:
        session = wiretape.open(*upstream.options())
        streaming = _Streaming(session, alpn)
        with wiretape.popen("stop", session.name, "--drain-seconds=60") as stop:
            until("the listener to be closed", lambda: _is_closed(session))
            assert stop.poll() is None
            gate.open()
            streaming.rest()
            said, _ = stop.communicate(timeout=60)
        streaming.client.close()

    assert stop.returncode == 0
    (one,) = interactions(session.cassette.read_bytes())
    assert one.response_body == FIRST + LAST
    assert b"1 interaction in" in said
    assert not _interrupted(session.cassette).exists()


@BOTH_PROTOCOLS
def test_stream_past_the_deadline_is_cut_and_counted(alpn: tuple[str, ...], wiretape: InProcess) -> None:
    gate = Gate("the end of the stop")
    with Upstream(_stream(gate), alpn=alpn) as upstream:
        session = wiretape.open(*upstream.options())
        streaming = [_Streaming(session, alpn) for _ in range(2)]
        done = wiretape.run("stop", session.name, "--drain-seconds=0.2")
        gate.open()
        for one in streaming:
            with pytest.raises(OSError, match=r"(?i)closed|reset|EOF"):
                one.rest()
            one.client.close()

    assert done.stdout.decode() == (
        f"{session.name}: 0 interactions in {session.cassette.name}\n"
        f"  2 interrupted: {_interrupted(session.cassette).name}\n"
        "  2 exchanges cut by the deadline\n"
    )
    document = yaml.safe_load(_interrupted(session.cassette).read_bytes())
    assert [one["interrupted"] for one in document["interactions"]] == [
        "cut by the deadline of stop: stop did not wait longer"
    ] * 2
    assert [one["response"]["body"] for one in document["interactions"]] == [FIRST.decode()] * 2
    assert session.cassette.read_bytes() == b"---\nversion: 2\ninteractions: []\n"


def test_idle_connections_do_not_hold_up_the_end(wiretape: InProcess) -> None:
    with Upstream(whole(200, [], b"ok"), alpn=HTTP_1_ONLY) as upstream:
        session = wiretape.open(*upstream.options())
        idle = Http1(tunnel(session, HOST))
        assert idle.ask("GET", "/v1").body == b"ok"
        silent = dial(session)
        # The command's own deadline is what fails this test.
        done = wiretape.run("stop", session.name, "--drain-seconds=3600")
        assert idle.rest() == b""
        assert silent.recv(1) == b""
        idle.close()
        silent.close()

    assert b"1 interaction in" in done.stdout
    assert not _interrupted(session.cassette).exists()


def test_idle_tunnel_does_not_hold_up_the_end(wiretape: InProcess) -> None:
    def serve(sock: socket.socket) -> None:
        read_until(sock, b"more")

    with RawServer(serve) as server:
        session = wiretape.open(f"--connect-to=www.example.com:443:127.0.0.1:{server.port}")
        client = Http1(connect(session, "www.example.com:443"))
        client.send(b"hello")
        wiretape.run("stop", session.name, "--drain-seconds=3600")
        assert client.rest() == b""
        client.close()


def test_passing_requests_that_are_cut_are_counted(wiretape: InProcess) -> None:
    gate = Gate("the end of the stop")
    with Upstream(_stream(gate), alpn=HTTP_1_ONLY) as upstream:
        session = wiretape.open(*upstream.options(), "--mode=passthrough")
        streaming = _Streaming(session, HTTP_1_ONLY)
        done = wiretape.run("stop", session.name, "--drain-seconds=0.1")
        gate.open()
        streaming.client.close()

    assert done.stdout.decode() == (
        f"{session.name}: passed 1 request through\n  1 exchange cut by the deadline\n"
    )


def test_second_stop_while_the_first_drains_is_told(wiretape: InProcess) -> None:
    gate = Gate("the second stop")
    with Upstream(_stream(gate), alpn=HTTP_1_ONLY) as upstream:
        session = wiretape.open(*upstream.options())
        streaming = _Streaming(session, HTTP_1_ONLY)
        with wiretape.popen("stop", session.name, "--drain-seconds=60") as stop:
            until("the listener to be closed", lambda: _is_closed(session))
            second = wiretape.run("stop", session.name, check=False)
            again = wiretape.run(
                "start", session.name, f"--cassette={session.cassette}", "--append", check=False
            )
            gate.open()
            streaming.rest()
            stop.communicate(timeout=60)
        streaming.client.close()

    assert (second.returncode, again.returncode) == (4, 3)
    assert second.stderr.startswith(b"wiretape: ")
    assert again.stderr.startswith(b"wiretape: ")
    assert len(interactions(session.cassette.read_bytes())) == 1


@pytest.mark.parametrize("how", ["SIGTERM", "daemon stop"])
def test_end_of_the_daemon_drains_every_session(how: str, tmp_path: Path) -> None:
    gate = Gate("the daemon to end")
    with Wiretape(tmp_path) as wiretape, Upstream(_stream(gate), alpn=HTTP_1_ONLY) as upstream:
        sessions = [wiretape.start(name, *upstream.options()) for name in ("one", "two")]
        streaming = [_Streaming(session, HTTP_1_ONLY) for session in sessions]
        pid = wiretape.daemon_pid()
        assert pid is not None
        stop: subprocess.Popen[bytes] | None = None
        if how == "SIGTERM":
            os.kill(pid, signal.SIGTERM)
        else:
            stop = wiretape.popen("daemon", "stop")
        for session in sessions:
            until("the listener to be closed", functools.partial(_is_closed, session))
        gate.open()
        for one in streaming:
            one.rest()
            one.client.close()
        if stop is not None:
            with stop:
                assert stop.wait(60) == 0
        until("the end of the daemon", functools.partial(has_ended, pid))

    for session in sessions:
        (one_recorded,) = interactions(session.cassette.read_bytes())
        assert one_recorded.response_body == FIRST + LAST
