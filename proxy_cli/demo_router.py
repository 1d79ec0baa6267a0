"""A small inference router on this machine, for `wiretape demo`: no network, no key, real TLS and SSE.

It speaks as much of the OpenAI chat completions API as the demo needs: asked a question, it streams a
call of the tool `add`; given the tool's result, it streams an answer. Its certificate is made at start
by an authority that exists only for as long as the router runs. Standard library only, apart from that
certificate; a thread per connection.
"""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

from proxy_cli.certificates import create_authority, issue

HOST = "router.huggingface.co"
"""The listed router that the demo stands in for."""

PATH = "/v1/chat/completions"

_ANSWER = "{result} it is: the tool added the two numbers, and this came back in pieces."
_MODEL = "wiretape/demo"
_CREATED = 1_700_000_000
"""The `created` of every chunk, in Unix seconds: fixed, so that two demos leave the same body."""

_IDLE_SECONDS = 30.0
_MAX_REQUEST_BYTES = 1 << 20


class DemoRouter:
    """The router; listens on 127.0.0.1 between `start` (or `with`) and `close`.

    `pause_ms` is the time between two events of a stream, long enough for an eye to see it flow; `hosts` are the
    names that its certificate holds, besides those of this machine.
    """

    port: int
    """The port, once started."""
    ca_file: Path
    """The certificate (PEM) that verifies the router, once started; deleted by `close`."""

    def __init__(self, pause_ms: int = 40, hosts: Sequence[str] = (HOST,)) -> None:
        self._pause_ms = pause_ms
        self._hosts = hosts
        self._cleanup = contextlib.ExitStack()

    def start(self) -> None:
        """Make the certificate, bind a free port and serve in a thread of its own."""
        with contextlib.ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wiretape-demo-")))
            context, self.ca_file = _tls_context(folder, self._hosts)
            server = _Server(context, self._pause_ms / 1000)
            stack.callback(server.server_close)
            self.port = server.server_address[1]
            thread = threading.Thread(
                target=server.serve_forever, args=(0.05,), name="demo-router", daemon=True
            )
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.stop)
            self._cleanup = stack.pop_all()

    def close(self) -> None:
        """Stop listening, drop what is connected, delete the certificate; harmless when repeated."""
        self._cleanup.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def _tls_context(folder: Path, hosts: Sequence[str]) -> tuple[ssl.SSLContext, Path]:
    """Make an authority and a certificate for the router; return its TLS side and the authority's file."""
    now, valid = datetime.now(UTC), timedelta(days=1)
    authority = create_authority("wiretape demo CA", now=now, valid=valid)
    leaf = issue(authority, [*hosts, "localhost", "127.0.0.1"], now=now, valid=valid)
    # `ssl` reads keys from files only. The temporary folder is ours alone (mode 0700).
    leaf_file = folder / "router.pem"
    leaf_file.write_bytes(leaf.key + leaf.certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(leaf_file)
    context.set_alpn_protocols(["http/1.1"])
    leaf_file.unlink()
    ca_file = folder / "ca.pem"
    ca_file.write_bytes(authority.certificate)
    return context, ca_file


class _Server(ThreadingHTTPServer):
    """Accepts connections; the TLS handshake is left to each connection's thread."""

    daemon_threads = True

    def __init__(self, context: ssl.SSLContext, pause_seconds: float) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.pause_seconds = pause_seconds
        self._context = context
        self._connected: set[socket.socket] = set()
        self._guard = threading.Lock()

    def get_request(self) -> tuple[ssl.SSLSocket, Any]:
        """Accept without waiting for the handshake: a silent client must not stop the others."""
        connection, address = super().get_request()
        secured = self._context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        with self._guard:
            self._connected.add(secured)
        return secured, address

    def shutdown_request(self, request: Any) -> None:
        """Close one connection."""
        with self._guard:
            self._connected.discard(request)
        super().shutdown_request(request)

    def stop(self) -> None:
        """Stop accepting and wake the threads that wait for a next request."""
        self.shutdown()
        with self._guard:
            for connection in self._connected:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep quiet about clients that leave or do not trust the certificate; they see why."""


class _Handler(BaseHTTPRequestHandler):
    """One connection: requests one after another, answers in chunks."""

    protocol_version = "HTTP/1.1"
    server_version = "wiretape-demo"
    sys_version = ""
    timeout = _IDLE_SECONDS
    server: _Server

    def do_POST(self) -> None:
        """Answer a chat completion request."""
        body = self._read_body()
        if body is None:
            return
        if self.path.partition("?")[0] != PATH:
            self._refuse(404, f"no such path here, only {PATH}")
            return
        try:
            messages = json.loads(body)["messages"]
            results = [str(message["content"]) for message in messages if message["role"] == "tool"]
        except (ValueError, KeyError, TypeError):
            self._refuse(400, "expected a JSON object with a list of messages")
            return
        self._stream(_answer(results[-1]) if results else _tool_call())

    def do_GET(self) -> None:
        """Answer everything else that a client may ask for."""
        self._refuse(404, f"no such path here, only {PATH}")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is http.server's
        """Write no access log: the demo prints what matters."""

    def _read_body(self) -> bytes | None:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > _MAX_REQUEST_BYTES:
            self.close_connection = True
            self._refuse(411, "expected a Content-Length of at most 1 MiB")
            return None
        return self.rfile.read(int(length))

    def _stream(self, events: Iterator[str]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Cache-Control", "no-cache")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for event in events:
            time.sleep(self.server.pause_seconds)
            data = f"data: {event}\n\n".encode()
            # One write per chunk, so that each event travels, and is recorded, on its own.
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")

    def _refuse(self, status: int, message: str) -> None:
        body = json.dumps({"error": {"message": message, "type": "invalid_request_error"}}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)


def _tool_call() -> Iterator[str]:
    yield _chunk({"role": "assistant", "content": None})
    call = {"index": 0, "id": "call_demo_1", "type": "function"}
    yield _chunk({"tool_calls": [{**call, "function": {"name": "add", "arguments": ""}}]})
    for piece in ('{"a"', ": 2", ', "b"', ": 3}"):
        yield _chunk({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]})
    yield _chunk({}, finish="tool_calls")
    yield "[DONE]"


def _answer(result: str) -> Iterator[str]:
    yield _chunk({"role": "assistant", "content": ""})
    for word in _ANSWER.format(result=result).split(" "):
        yield _chunk({"content": f"{word} "})
    yield _chunk({}, finish="stop")
    yield "[DONE]"


def _chunk(delta: dict[str, object], finish: str | None = None) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return json.dumps(
        {
            "id": "chatcmpl-demo",
            "object": "chat.completion.chunk",
            "created": _CREATED,
            "model": _MODEL,
            "choices": [choice],
        },
        separators=(",", ":"),
    )
