"""Metrics and health over a real TCP port."""

from __future__ import annotations

import http.client
import re
import threading
from collections.abc import Iterator

import pytest

from addons.access import Address
from addons.errors import StartError
from proxy_cli.control_server import Reply
from proxy_cli.observing import ObservingServer


def _look(path: str) -> Reply | None:
    match path:
        case "/ready":
            return Reply(503, "application/json", b"{}\n")
        case "/bug":
            raise ValueError("bug")
    return None


@pytest.fixture(params=["127.0.0.1", "::1"])
def server(request: pytest.FixtureRequest) -> Iterator[ObservingServer]:
    server = ObservingServer(Address(request.param, 0), _look)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join(10)


def _get(server: ObservingServer, path: str, method: str = "GET") -> tuple[int, str, bytes]:
    connection = http.client.HTTPConnection(server.server_name, server.server_port, timeout=20)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, response.getheader("Content-Type", ""), response.read()
    finally:
        connection.close()


def test_answer_comes_with_its_status_and_type(server: ObservingServer) -> None:
    assert _get(server, "/ready?verbose=1") == (503, "application/json", b"{}\n")


def test_unknown_path_tells_the_known_ones(server: ObservingServer) -> None:
    status, _, body = _get(server, "/")
    assert (status, b"/metrics" in body) == (404, True)


def test_error_of_ours_is_an_answer(server: ObservingServer) -> None:
    assert _get(server, "/bug")[0] == 500
    assert _get(server, "/ready")[0] == 503


def test_nothing_but_looking_is_possible(server: ObservingServer) -> None:
    assert _get(server, "/shutdown", "POST")[0] == 501


def test_port_in_use_is_told(server: ObservingServer) -> None:
    taken = Address(server.server_name, server.server_port)
    with pytest.raises(StartError, match=re.escape(f"cannot serve metrics on {taken}")):
        ObservingServer(taken, _look)
