"""A cassette played backwards: an upstream that gives its responses, and the requests that ask for them."""

from __future__ import annotations

from tests.support.goplan import GoRequest
from tests.support.recorded import Recorded
from tests.support.scripts import Handler, gzip_pieces, in_order, pieces, sse_events, whole
from tests.support.upstream import HTTP_1_ONLY, HTTP_2_FIRST

_BINARY_PIECE_BYTES = 1000
"""Where a stream that is not made of lines is cut: anywhere, so that frames span pieces."""


def alpn_of(interactions: list[Recorded]) -> tuple[str, ...]:
    """Return what the recorded server offered."""
    return HTTP_2_FIRST if any(one.proto == "HTTP/2.0" for one in interactions) else HTTP_1_ONLY


def play(interactions: list[Recorded]) -> Handler:
    """Answer the cassette's requests in order, framed and coded as the recording says."""
    return in_order([_response(one) for one in interactions])


def go_requests(interactions: list[Recorded]) -> list[GoRequest]:
    """Return the cassette's requests, each with exactly the headers that were recorded."""
    return [GoRequest(one.method, one.url, one.request_headers, one.request_body) for one in interactions]


def _response(one: Recorded) -> Handler:
    headers = [(name, value) for name, values in one.response_headers.items() for value in values]
    if one.response_length >= 0:
        if one.response_length != len(one.response_body):
            raise ValueError(
                f"{one.url}: the body has {len(one.response_body)} of {one.response_length} bytes"
            )
        return whole(one.code, headers, one.response_body)
    parts = _parts(one)
    if one.uncompressed:
        return pieces(one.code, [*headers, ("Content-Encoding", "gzip")], gzip_pieces(parts))
    return pieces(one.code, headers, parts)


def _parts(one: Recorded) -> list[bytes]:
    body = one.response_body
    if any(value.startswith("text/event-stream") for value in one.response_headers.get("Content-Type", [])):
        return sse_events(body)
    return [body[start : start + _BINARY_PIECE_BYTES] for start in range(0, len(body), _BINARY_PIECE_BYTES)]
