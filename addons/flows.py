"""What the addons ask of a flow, and what they tell each other about it."""

from __future__ import annotations

import enum
import ipaddress

from mitmproxy import http

from cassette.exchange import HeaderPairs

_REPLAY = "wiretape.replay"


class Replay(enum.Enum):
    """Where the answer to a request of a replaying session comes from."""

    HELD = "held"
    """Not decided: the request is buffered until it can be matched. Nothing else may touch it."""
    PLAYED = "played"
    """From the cassette."""
    REFUSED = "refused"
    """From the proxy itself: nothing matched, or the host is none that the session replays."""
    PASSED = "passed"
    """From the upstream after all: nothing matched, and a new episode is to be recorded."""


def replay_of(flow: http.HTTPFlow) -> Replay | None:
    """Return what was decided about a flow; None when it has nothing to do with replay."""
    state = flow.metadata.get(_REPLAY)
    return state if isinstance(state, Replay) else None


def mark_replay(flow: http.HTTPFlow, state: Replay) -> None:
    """Note what was decided about a flow."""
    flow.metadata[_REPLAY] = state


def target(flow: http.HTTPFlow) -> tuple[str, int]:
    """Return the host and port that the client asked for.

    That is what it named to the proxy; a client that looked the name up itself said only an address there, and
    the name in the Host header.
    """
    request = flow.request
    if is_address(request.host):
        return request.pretty_host or request.host, request.port
    return request.host, request.port


def asked_url(flow: http.HTTPFlow) -> str:
    """Return the URL as the client asked for it: absolute, the port only where it is not the scheme's own."""
    request = flow.request
    host, port = target(flow)
    name = f"[{host}]" if ":" in host else host
    if port == {"http": 80, "https": 443}.get(request.scheme):
        return f"{request.scheme}://{name}{request.path}"
    return f"{request.scheme}://{name}:{port}{request.path}"


def header_pairs(headers: http.Headers | None) -> HeaderPairs:
    """Return header fields in wire order and case; bytes that are not UTF-8 become lone surrogates."""
    if headers is None:
        return ()
    return tuple(
        (name.decode("utf-8", "surrogateescape"), value.decode("utf-8", "surrogateescape"))
        for name, value in headers.fields
    )


def is_address(host: str) -> bool:
    """Tell whether a host is an IP address and no name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
