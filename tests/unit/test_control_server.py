"""The control API over a real socket, spoken to by hand and by its own client."""

from __future__ import annotations

import json
import socket
import stat
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from addons.errors import ConfigError, ControlError
from cassette.errors import StoreError
from proxy_cli.control import Control
from proxy_cli.control_server import ControlServer
from proxy_cli.messages import API
from proxy_cli.places import Places


@pytest.fixture
def places() -> Iterator[Places]:
    with tempfile.TemporaryDirectory(prefix="wt-") as folder:
        yield Places(Path(folder))


def _route(method: str, path: str, body: dict[str, Any]) -> Any:
    match method, path:
        case "GET", "/status":
            return {"daemon": {"api": API, "version": "0"}, "sessions": []}
        case "DELETE", _:
            return {"closed": path, "asked": body}
        case "POST", "/config":
            raise ConfigError("wrong key")
        case "POST", "/store":
            raise StoreError("is full", path=Path("x.yaml"))
        case "POST", "/bug":
            raise ValueError("bug")
        case "POST", "/echo":
            return body
    raise ControlError(f"unknown: {path}")


@pytest.fixture
def server(places: Places) -> Iterator[ControlServer]:
    server = ControlServer(places.socket, _route)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join(10)


def _ask(sock: socket.socket, method: str, path: str, body: bytes = b"") -> tuple[int, Any]:
    sock.sendall(f"{method} {path} HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
    return _answer(sock)


def _answer(sock: socket.socket) -> tuple[int, Any]:
    seen = b""
    while b"\r\n\r\n" not in seen:
        seen += sock.recv(4096)
    head, _, text = seen.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
    while len(text) < length:
        text += sock.recv(4096)
    return int(head.split(b" ")[1]), json.loads(text)


def _dial(places: Places) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(20)
    sock.connect(str(places.socket))
    return sock


@pytest.mark.usefixtures("server")
def test_requests_on_one_connection_are_answered(places: Places) -> None:
    with _dial(places) as sock:
        assert _ask(sock, "POST", "/echo", b'{"a": [1]}') == (200, {"a": [1]})
        assert _ask(sock, "POST", "/echo") == (200, {})
        assert _ask(sock, "DELETE", "/sessions/a%20b")[1]["closed"] == "/sessions/a b"


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize(
    ("path", "body", "status", "kind"),
    [
        ("/nowhere", b"", 409, "ControlError"),
        ("/config", b"", 409, "ConfigError"),
        ("/store", b"", 409, "StartError"),
        ("/bug", b"", 500, "StartError"),
        ("/echo", b"no json", 409, "ControlError"),
        ("/echo", b"[1]", 409, "ControlError"),
        ("/echo", b"\xff", 409, "ControlError"),
    ],
)
def test_errors_are_answers_and_the_connection_goes_on(
    path: str, body: bytes, status: int, kind: str, places: Places
) -> None:
    with _dial(places) as sock:
        answered, error = _ask(sock, "POST", path, body)
        assert (answered, error["error"]["kind"]) == (status, kind)
        assert _ask(sock, "GET", "/status")[0] == 200


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("length", ["9999999999", "-1", "many"])
def test_request_of_no_good_length_is_refused_and_the_connection_ends(length: str, places: Places) -> None:
    with _dial(places) as sock:
        sock.sendall(f"POST /echo HTTP/1.1\r\nContent-Length: {length}\r\n\r\n".encode())
        status, answer = _answer(sock)
        assert (status, answer["error"]["kind"]) == (409, "ControlError")
        assert sock.recv(1) == b""


def test_socket_is_private_and_replaces_a_dead_daemons(places: Places) -> None:
    for _ in range(2):
        server = ControlServer(places.socket, _route)
        assert stat.S_IMODE(places.socket.stat().st_mode) == 0o600
        assert Control(places).is_running()
        server.server_close()
        assert not Control(places).is_running()


@pytest.mark.usefixtures("server")
def test_many_may_ask_at_once(places: Places) -> None:
    socks = [_dial(places) for _ in range(60)]
    for sock in socks:
        sock.sendall(b"GET /status HTTP/1.1\r\n\r\n")
    assert [_answer(sock)[0] for sock in socks] == [200] * 60
    for sock in socks:
        sock.close()


@pytest.mark.usefixtures("server")
def test_client_of_the_api_gets_answers_and_errors(places: Places) -> None:
    control = Control(places)
    assert control.status()["sessions"] == []
    assert control.close("a/b", 1.5) == {"closed": "/sessions/a/b", "asked": {"drain_seconds": 1.5}}
    assert control.close("a")["asked"] == {}


def test_client_without_a_daemon_says_how_to_start_one(places: Places) -> None:
    with pytest.raises(ControlError, match="wiretape start"):
        Control(places).status()


def test_daemon_of_another_version_is_told(places: Places) -> None:
    server = ControlServer(places.socket, lambda *_: {"daemon": {"api": API + 1, "version": "9"}})
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    with pytest.raises(ControlError, match="of version 9; stop it"):
        Control(places).status()
    server.shutdown()
    server.server_close()
