"""Every private part of mitmproxy that we touch, and every difference between 11.0.2 and 12: one function each.

`install` checks at start that the parts are as expected. Where one is not, the plain behaviour stays and a warning
names what is lost; recording goes on.
"""

from __future__ import annotations

import logging

from addons import levers
from addons.compat.backpressure import bound_http2
from addons.compat.bodies import read_trailers
from addons.compat.closing import end_after_crash, has_crashed, pass_ends_on
from addons.compat.connecting import limit_connecting
from addons.compat.connections import (
    accept_on,
    break_off,
    close_upstream,
    cut,
    forget_tls_contexts,
    last_activity,
    lift_connection_cap,
    lift_idle_timeout_of_11,
    open_connections,
    restore_address,
    set_options,
    tls_files,
    upstream_proxy_layer,
    was_reset,
    watch_end,
)
from addons.compat.freeing import free_at_the_end
from addons.compat.goaway import survive_goaway
from addons.compat.heads import bound_heads
from addons.compat.holding import bound_held, hold_at_most, was_let_go
from addons.compat.http1 import end_early_responses, frame_requests
from addons.compat.informational import forward_informational
from addons.compat.reading import hold_reading, last_came_ns
from addons.compat.refusing import answer_refused, refuse
from addons.compat.speed_cork import join_writes
from addons.compat.speed_frames import pass_frames_on
from addons.compat.speed_hooks import run_hooks_in_place
from addons.compat.speed_reading import read_directly
from addons.compat.speed_relay import relay_bodies
from addons.compat.streams import (
    BLAME,
    ERROR_HEADER,
    own_response,
    patch_streams,
    was_reached,
    without_quotes,
)
from addons.compat.tunnels import close_by_halves, tunnel_layer
from addons.compat.unread import bound_unread

__all__ = [
    "BLAME",
    "ERROR_HEADER",
    "accept_on",
    "break_off",
    "close_upstream",
    "cut",
    "forget_tls_contexts",
    "has_crashed",
    "hold_at_most",
    "install",
    "last_activity",
    "last_came_ns",
    "lift_connection_cap",
    "open_connections",
    "own_response",
    "refuse",
    "restore_address",
    "set_options",
    "tls_files",
    "tunnel_layer",
    "upstream_proxy_layer",
    "was_let_go",
    "was_reached",
    "was_reset",
    "watch_end",
    "without_quotes",
]

_log = logging.getLogger(__name__)

_PATCHES = (
    ("who broke an exchange off, and errors in the proxy's own words", patch_streams),
    ("bodies of unknown length from HTTP/2 clients to HTTP/1 upstreams", frame_requests),
    ("responses that end before their request does", end_early_responses),
    ("no end of a silent connection after ten minutes", lift_idle_timeout_of_11),
    ("an upstream that is not there is given up", limit_connecting),
    ("upstreams that are read while they are written to", hold_reading),
    ("HTTP/2 clients that do not read make their upstream wait", bound_http2),
    ("ends of connections, in order or broken, reach the client as they were", pass_ends_on),
    ("a client is let go when mitmproxy crashes", end_after_crash),
    ("HTTP/1 trailers, and broken bodies told from whole ones", read_trailers),
    ("interim responses", forward_informational),
    ("streams that outlive a GOAWAY", survive_goaway),
    ("heads of a bounded length", bound_heads),
    ("clients that do not read their answers wait", bound_unread),
    ("who is refused is told so", answer_refused),
    ("bodies that are held until they are matched are bounded", bound_held),
    ("tunnels of which one direction has ended", close_by_halves),
    ("connections that are over are freed at once", free_at_the_end),
)

_LEVERS = (
    levers.Lever("hooks", "hooks run where they arise", run_hooks_in_place),
    levers.Lever("cork", "one write for what an event brought", join_writes),
    levers.Lever("reading", "bytes are handled as they arrive", read_directly),
    levers.Lever("relay", "a short way for streamed bodies", relay_bodies),
    levers.Lever("frames", "a short way for streamed bodies over HTTP/2", pass_frames_on),
)
"""What only makes the proxy faster, each upon those before it; see `levers`."""


def install() -> None:
    """Patch what has to be patched; call once, before the first connection."""
    wanted = [(lever.what, lever.pull) for lever in _LEVERS if levers.is_wanted(lever.name)]
    for name, patch in (*_PATCHES, *wanted):
        try:
            patch()
        except (AttributeError, TypeError) as exc:
            _log.warning("compat.unavailable what=%r reason=%r", name, exc)
