"""One exchange as the wire showed it: what the journal yields and `wire` turns into an interaction."""

from __future__ import annotations

import enum
from dataclasses import dataclass

HeaderPairs = tuple[tuple[str, str], ...]
"""Header fields in wire order, in wire case, duplicates kept; bytes that are not UTF-8 as lone surrogates."""


class Outcome(enum.Enum):
    """How an exchange ended; the value is what people read."""

    COMPLETE = "complete"
    CLIENT_LEFT = "the client left"
    UPSTREAM_RESET = "the upstream broke off"
    TRUNCATED = "the body was cut short"
    CUT = "cut by the deadline of stop"
    CRASHED = "the proxy died"


@dataclass(frozen=True, slots=True)
class RequestHead:
    """The request line and its headers. Credentials are redacted already: this went through the journal."""

    method: str
    url: str
    """Absolute, as the client asked for it: scheme, host, port only if not the default, path and query as sent."""
    http_version: str
    """`HTTP/1.0`, `HTTP/1.1` or `HTTP/2.0`, of the client's side."""
    headers: HeaderPairs


@dataclass(frozen=True, slots=True)
class ResponseHead:
    """The status line and its headers, credentials redacted."""

    http_version: str
    """Of the upstream's side."""
    code: int
    reason: str
    """The reason phrase on the wire; empty on HTTP/2."""
    headers: HeaderPairs


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and its response, complete or not. Times are monotonic nanoseconds of one process."""

    request: RequestHead
    request_body: bytes
    request_trailers: HeaderPairs
    response: ResponseHead | None
    response_body: bytes
    """Transfer-decoded, still content-encoded."""
    response_trailers: HeaderPairs
    started_at_ns: int
    response_at_ns: int | None
    """When the response's head was there; None when none came."""
    outcome: Outcome
    reason: str = ""
    """More about an outcome that is not COMPLETE, for a person."""
    request_ended: bool = True
    """False when the request's own end was never seen: an upstream may answer before it has the whole of it."""
