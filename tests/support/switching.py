"""A session whose mode is changed: an upstream that tells answers apart, clients that stay connected."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cassette import load
from tests.support.inprocess import InProcess, shared_daemon
from tests.support.rawclient import Http1, Http2, tunnel
from tests.support.scripts import Gate, Received, Reply, whole
from tests.support.upstream import HTTP_1_ONLY, HTTP_2_FIRST
from tests.support.wiretape import Session

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


def change_mode(wiretape: InProcess, session: Session, mode: str, *options: str) -> dict[str, Any]:
    status: dict[str, Any] = json.loads(wiretape.run("mode", session.name, mode, "--json", *options).stdout)
    assert status["mode"] == mode
    return status


def recorded(session: Session) -> list[tuple[str, bytes]]:
    found = load(session.cassette).interactions
    return [(one.request.url.removeprefix(f"https://{HOST}/v1/"), one.response.body) for one in found]


def is_changing(wiretape: InProcess, session: Session) -> bool:
    return bool(wiretape.session(session)["changing"])


def refused(wiretape: InProcess, *arguments: str) -> tuple[int, str]:
    done = wiretape.run("mode", *arguments, check=False)
    return done.returncode, done.stderr.decode()
