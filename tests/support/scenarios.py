"""Made traffic that covers what the real cassettes do, and more: each scenario gives one cassette.

`tests/e2e/fixtures/NAME.yaml` is what go-vcr itself recorded of it in-process; `tests/interop/test_go_vcr.py`
checks that it still does.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.goplan import GoRequest
from tests.support.scripts import Framing, Handler, Received, Reply, gzip_pieces, in_order, pieces, whole
from tests.support.upstream import HTTP_1_ONLY, HTTP_2_FIRST

FIXTURES = Path(__file__).resolve().parents[1] / "e2e" / "fixtures"

_API = "https://api.openai.com/v1"
_JSON = {"Content-Type": ["application/json"]}
_SDK = {"Accept": ["application/json"], "User-Agent": ["Made/1.0 (end to end)"], **_JSON}
_TYPE_JSON = ("Content-Type", "application/json")
_TYPE_EVENTS = ("Content-Type", "text/event-stream; charset=utf-8")
_GZIP = ("Content-Encoding", "gzip")


@dataclass(frozen=True, slots=True)
class Scenario:
    """Some calls and the answers to them, for one client and one upstream."""

    name: str
    calls: Sequence[tuple[GoRequest, Handler]]
    alpn: tuple[str, ...] = HTTP_2_FIRST
    host_field: str = "empty"
    layout: str = "charm"

    @property
    def requests(self) -> list[GoRequest]:
        """The calls without their answers."""
        return [request for request, _ in self.calls]

    @property
    def handler(self) -> Handler:
        """The answers, in order."""
        return in_order([handler for _, handler in self.calls])

    @property
    def fixture(self) -> Path:
        """What go-vcr recorded of it."""
        return FIXTURES / f"{self.name}.yaml"


def _chat(text: str, *, stream: bool = False, path: str = "/chat/completions") -> GoRequest:
    message = {"messages": [{"content": text, "role": "user"}], "model": "made", "stream": stream}
    return GoRequest("POST", _API + path, _SDK, json.dumps(message, ensure_ascii=False).encode())


def _delta(text: str, line_break: str = "\n") -> bytes:
    event = json.dumps({"choices": [{"delta": {"content": text}}]}, ensure_ascii=False)
    return f"data: {event}{line_break}{line_break}".encode()


def _zipped(headers: Sequence[tuple[str, str]], body: bytes) -> Handler:
    return whole(200, [*headers, _GZIP], gzip.compress(body, mtime=0))


def _with_trailers(request: Received, reply: Reply) -> None:
    reply.head(200, [_TYPE_EVENTS, ("Trailer", "X-Checksum")])
    reply.data(_delta("with a trailer"))
    reply.end([("X-Checksum", "0f")])


def _odd_reason(request: Received, reply: Reply) -> None:
    reply.head(200, [_TYPE_JSON, ("Content-Length", "2")], reason="Fine By Me")
    reply.data(b"{}")
    reply.end()


_EVENTS = [_delta("Hallo "), _delta("Welt 👋"), b": a comment\n\n", b"data: [DONE]\n\n"]
_CRLF_EVENTS = [_delta("one", "\r\n"), _delta("two", "\r\n"), b"data: [DONE]\r\n\r\n"]
_FRAMES = [bytes(range(256)), b"\x00\x00\x00\x10\xff\xfe not text", bytes(range(255, -1, -1))]
_ANSWER = json.dumps({"choices": [{"message": {"content": "It's 21 °C: 'fine' # sure"}}]}, ensure_ascii=False)

_ORDINARY: tuple[tuple[GoRequest, Handler], ...] = (
    (
        _chat("a body of known length"),
        whole(200, [_TYPE_JSON, ("X-Request-Id", "dropped")], _ANSWER.encode()),
    ),
    (_chat("the same, gzipped"), _zipped([_TYPE_JSON], _ANSWER.encode())),
    (_chat("an event stream", stream=True), pieces(200, [_TYPE_EVENTS], _EVENTS)),
    (_chat("gzipped events", stream=True), pieces(200, [_TYPE_EVENTS, _GZIP], gzip_pieces(_EVENTS))),
    (_chat("line breaks of both kinds", stream=True), pieces(200, [_TYPE_EVENTS], _CRLF_EVENTS)),
    (_chat("bytes that are not text"), pieces(200, [("Content-Type", "application/octet-stream")], _FRAMES)),
    (
        GoRequest("POST", f"{_API}/files?purpose=a%20b&purpose=c&alt=sse", _SDK, b"{}"),
        whole(429, [_TYPE_JSON, ("Retry-After", "2")], b'{"error":{"message":"slow down"}}\n'),
    ),
    (
        GoRequest(
            "POST",
            f"{_API}/form?from=query",
            {"Content-Type": ["application/x-www-form-urlencoded"]},
            b"from=body&plus=a+b&empty=",
        ),
        whole(200, [("Content-Type", "text/plain")], b" leading and trailing \n"),
    ),
    (GoRequest("GET", f"{_API}/models"), whole(200, [_TYPE_JSON], b'{"data":[]}')),
    (GoRequest("DELETE", f"{_API}/files/file-1"), whole(204, [], b"")),
    (GoRequest("HEAD", f"{_API}/models"), whole(200, [_TYPE_JSON], b'{"data":[]}')),
    (GoRequest("GET", f"{_API}/nothing"), whole(200, [("Content-Type", "text/plain")], b"")),
    (
        GoRequest(
            "POST", f"{_API}/upload", {"Content-Type": ["text/plain"]}, b"of unknown length", chunked=True
        ),
        whole(201, [_TYPE_JSON], b"[1, 2, 3]"),
    ),
    (
        GoRequest("PUT", f"{_API}/plain", {"Accept-Encoding": ["identity"], "User-Agent": ["x: y"]}, b"[]\n"),
        whole(307, [("Location", "/elsewhere"), ("Content-Type", "text/html")], b"<a>\n"),
    ),
)

_HTTP_2_ONLY: tuple[tuple[GoRequest, Handler], ...] = ((_chat("a trailer", stream=True), _with_trailers),)

_HTTP_1_ONLY: tuple[tuple[GoRequest, Handler], ...] = (
    (_chat("a reason of its own"), _odd_reason),
    (_chat("to the end of the connection", stream=True), pieces(200, [_TYPE_EVENTS], _EVENTS, Framing.EOF)),
)

SCENARIOS = (
    Scenario("http2", _ORDINARY + _HTTP_2_ONLY),
    Scenario("http1", _ORDINARY + _HTTP_1_ONLY, alpn=HTTP_1_ONLY),
    Scenario("host-of-the-url", _ORDINARY[:2], host_field="url"),
    Scenario("go-vcr-layout", _ORDINARY, layout="go-vcr"),
)
