from __future__ import annotations

import http.client
import json
import socket
import ssl
from collections.abc import Iterator
from typing import Any

import pytest

from proxy_cli.demo_router import HOST, PATH, DemoRouter

QUESTION = [{"role": "user", "content": "What is 2 + 3?"}]
RESULT = [*QUESTION, {"role": "tool", "tool_call_id": "call_demo_1", "content": "5"}]


@pytest.fixture(scope="module")
def router() -> Iterator[DemoRouter]:
    with DemoRouter(pause_ms=0) as router:
        yield router


class Connection(http.client.HTTPSConnection):
    """A connection to the router under the name that it stands in for."""

    def __init__(self, router: DemoRouter) -> None:
        context = ssl.create_default_context(cafile=router.ca_file)
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        super().__init__(HOST, context=context, timeout=20)
        self._router = router
        self._tls = context

    def connect(self) -> None:
        plain = socket.create_connection(("127.0.0.1", self._router.port), timeout=20)
        self.sock = self._tls.wrap_socket(plain, server_hostname=HOST)


@pytest.fixture
def connection(router: DemoRouter) -> Iterator[Connection]:
    connection = Connection(router)
    yield connection
    connection.close()


def ask(connection: Connection, messages: object, path: str = PATH) -> http.client.HTTPResponse:
    connection.request("POST", path, json.dumps({"messages": messages}))
    return connection.getresponse()


def deltas(body: bytes) -> list[dict[str, Any]]:
    *events, done, rest = body.decode().split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    return [json.loads(event.removeprefix("data: "))["choices"][0]["delta"] for event in events]


def test_a_question_is_answered_with_a_tool_call_in_pieces(connection: Connection) -> None:
    response = ask(connection, QUESTION)
    assert response.status == 200
    assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    calls = [call for delta in deltas(response.read()) for call in delta.get("tool_calls", ())]
    assert calls[0]["function"]["name"] == "add"
    assert len(calls) > 2
    assert json.loads("".join(call["function"]["arguments"] for call in calls)) == {"a": 2, "b": 3}


def test_a_tool_result_is_answered_with_text_that_holds_it(connection: Connection) -> None:
    text = "".join(delta.get("content", "") for delta in deltas(ask(connection, RESULT).read()))
    assert text.startswith("5 it is")


def test_every_event_is_a_chunk_of_its_own(connection: Connection) -> None:
    response = ask(connection, QUESTION)
    assert response.headers["Transfer-Encoding"] == "chunked"
    raw = response.fp.read1(1 << 16)
    while not raw.endswith(b"0\r\n\r\n"):
        raw += response.fp.read1(1 << 16)
    rest = raw
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        chunk, rest = rest[: int(size, 16)], rest[int(size, 16) + 2 :]
        assert chunk == b"" or (chunk.startswith(b"data: ") and chunk.endswith(b"\n\n"))
    connection.close()


def test_a_connection_serves_several_requests(connection: Connection) -> None:
    ask(connection, QUESTION).read()
    used = connection.sock
    ask(connection, RESULT).read()
    assert connection.sock is used


def test_two_runs_send_the_same_bytes(connection: Connection) -> None:
    assert ask(connection, QUESTION).read() == ask(connection, QUESTION).read()


@pytest.mark.parametrize(("path", "messages", "status"), [("/v1/models", [], 404), (PATH, None, 400)])
def test_what_it_does_not_know_is_refused_in_json(
    connection: Connection, path: str, messages: object, status: int
) -> None:
    response = ask(connection, messages, path)
    assert response.status == status
    assert json.load(response)["error"]["message"]
    assert ask(connection, QUESTION).status == 200


def test_a_get_is_refused_in_json(connection: Connection) -> None:
    connection.request("GET", "/")
    response = connection.getresponse()
    assert response.status == 404
    assert json.load(response)["error"]["message"]


def test_a_body_that_is_too_long_is_refused_unread(connection: Connection) -> None:
    connection.request("POST", PATH, headers={"Content-Length": str(1 << 30)})
    response = connection.getresponse()
    assert response.status == 411
    assert response.headers["Connection"] == "close"


def test_a_silent_client_does_not_stop_the_others(router: DemoRouter, connection: Connection) -> None:
    with socket.create_connection(("127.0.0.1", router.port)):
        assert ask(connection, QUESTION).status == 200


def test_its_certificate_is_not_trusted_by_others(router: DemoRouter) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    plain = socket.create_connection(("127.0.0.1", router.port), timeout=20)
    with plain, pytest.raises(ssl.SSLCertVerificationError):
        context.wrap_socket(plain, server_hostname=HOST)


def test_closing_ends_the_connections_and_deletes_the_certificate() -> None:
    router = DemoRouter(pause_ms=0)
    router.start()
    connection = Connection(router)
    ask(connection, QUESTION).read()
    router.close()
    router.close()
    assert connection.sock.recv(1) == b""
    assert not router.ca_file.parent.exists()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", router.port))
    connection.close()
