"""Turn an exchange as the wire showed it into the interaction that go-vcr, inside the client, would record.

    Exchange ──▶ request:   what Go's transport added is taken away again
             ──▶ response:  what Go's transport does to it is done ──▶ header filter ──▶ Interaction

go-vcr stands above Go's HTTP transport, a proxy below it. The rules are those of `net/http` (Go 1.26) and
go-vcr 4.0.7, compared with both field by field. Where Go would report an error, so that go-vcr would record
nothing (of a broken gzip body, say), what the wire showed is kept as it is. Pure; nothing here raises for any
exchange.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from cassette.completion import is_whole
from cassette.exchange import Exchange
from cassette.gohttp import authority
from cassette.headerfilter import HeaderPolicy
from cassette.model import Interaction
from cassette.wire_request import recorded_request
from cassette.wire_response import recorded_response

_DEFAULT_PORTS = {"http": 80, "https": 443}


class HostField(enum.Enum):
    """What stands in a request's `host`: the wire cannot tell how the client built its request."""

    EMPTY = "empty"
    """As SDK clients leave it."""
    URL = "url"
    """The URL's host, as `http.NewRequest` sets it."""


@dataclass(frozen=True, slots=True)
class WireRules:
    """What a session's user chose."""

    host_field: HostField
    headers: HeaderPolicy
    max_body: int
    """Bytes of a decoded response body; one that would be longer is recorded as it was sent."""


def to_interaction(exchange: Exchange, rules: WireRules, *, id: int) -> Interaction:  # noqa: A002
    """Return the exchange as go-vcr would have recorded it; `interrupted` is set unless it is whole.

    Of an exchange that broke off, the body is decoded as far as it goes. Without a response all of the
    response's fields are Go's zero values.
    """
    host_filter = rules.headers.for_host(*_host_and_port(exchange.request.url))
    return Interaction(
        id=id,
        request=recorded_request(exchange, host_filter, with_host=rules.host_field is HostField.URL),
        response=recorded_response(exchange, host_filter, rules.max_body),
        interrupted="" if is_whole(exchange, rules.max_body) else _why(exchange),
    )


def _why(exchange: Exchange) -> str:
    what = exchange.outcome.value
    return f"{what}: {exchange.reason}" if exchange.reason else what


def _host_and_port(url: str) -> tuple[str, int]:
    """Return a URL's host (an IPv6 address without brackets) and its port or the scheme's default."""
    whole = authority(url)
    host, colon, port = whole.rpartition(":")
    if not colon or "]" in port:
        host, port = whole, ""
    number = (
        int(port) if port.isdecimal() and len(port) <= 5 else _DEFAULT_PORTS.get(url.partition(":")[0], 443)
    )
    return host.removeprefix("[").removesuffix("]"), number
