"""What tests of harmful peers have in common: a bystander who must notice nothing, and how much memory is taken."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

import cassette
from cassette.model import Interaction
from tests.support.inprocess import InProcess, shared_daemon
from tests.support.rawclient import Http1, tunnel
from tests.support.rawserver import RawServer, Serve, read_until
from tests.support.scripts import whole
from tests.support.upstream import HTTP_1_ONLY, Upstream
from tests.support.wiretape import Session

HOST = "api.openai.com"
JSON = ("Content-Type", "application/json")
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
MB = 1_000_000
needs_linux = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")


@pytest.fixture(scope="module")
def wiretape(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    with shared_daemon(tmp_path_factory, "hostile") as command:
        yield command


@pytest.fixture(scope="module")
def bystander(wiretape: InProcess) -> Iterator[Http1]:
    """A client of a session of its own, which has nothing to do with any of this."""
    with Upstream(whole(200, [JSON], b"{}"), alpn=HTTP_1_ONLY) as upstream:
        session = wiretape.open(*upstream.options())
        client = Http1(tunnel(session, HOST))
        yield client
        client.close()
        assert wiretape.close(session)["interactions"] == len(upstream.received)


@pytest.fixture(autouse=True)
def others_are_not_disturbed(wiretape: InProcess, bystander: Http1) -> Iterator[None]:
    """The bystander keeps its connection and is answered, and no process is another afterwards."""
    began = wiretape.status()["daemon"]
    yield
    assert bystander.ask("POST", "/v1", [JSON], b"{}").status == 200
    ended = wiretape.status()["daemon"]
    for key in ("worker_pid", "scribe_pid"):
        assert began[key] == ended[key]


def plain(wiretape: InProcess, upstream: RawServer | Upstream, *options: str) -> tuple[Session, str]:
    """Open a session that records a plain HTTP server; return it and the server's name."""
    name = f"127.0.0.1:{upstream.port}"
    return wiretape.open(f"--host={name}", *options), name


def recorded(session: Session) -> tuple[Interaction, ...]:
    return cassette.load(session.cassette).interactions


def until_closed(sock: socket.socket) -> bytes:
    """Read what comes until the other side closes, in whatever way."""
    seen = b""
    try:
        while data := sock.recv(1 << 16):
            seen += data
    except ConnectionError:
        pass
    return seen


def resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def peak(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) << 10


def forget_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def answering(data: bytes) -> Serve:
    def serve(sock: socket.socket) -> None:
        read_until(sock, b"\r\n\r\n")
        sock.sendall(data)

    return serve


def sink(sock: socket.socket) -> None:
    while sock.recv(1 << 16):
        pass
