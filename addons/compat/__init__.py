"""Every private part of mitmproxy that we touch, and every difference between 11.0.2 and 12: one function each.

`install` checks at start that the parts are as expected. Where one is not, the plain behaviour stays and a warning
names what is lost; recording goes on.
"""

from __future__ import annotations

import logging

from addons.compat.connections import (
    accept_on,
    connections_on,
    cut,
    last_activity,
    lift_connection_cap,
    lift_idle_timeout_of_11,
    restore_address,
    set_options,
    trusted_ca,
    tunnel_layer,
    upstream_proxy_layer,
)
from addons.compat.http1 import frame_requests
from addons.compat.streams import BLAME, ERROR_HEADER, own_response, patch_streams

__all__ = [
    "BLAME",
    "ERROR_HEADER",
    "accept_on",
    "connections_on",
    "cut",
    "install",
    "last_activity",
    "lift_connection_cap",
    "own_response",
    "restore_address",
    "set_options",
    "trusted_ca",
    "tunnel_layer",
    "upstream_proxy_layer",
]

_log = logging.getLogger(__name__)

_PATCHES = (
    ("who broke an exchange off, and errors in the proxy's own words", patch_streams),
    ("bodies of unknown length from HTTP/2 clients to HTTP/1 upstreams", frame_requests),
    ("no end of a silent connection after ten minutes", lift_idle_timeout_of_11),
)


def install() -> None:
    """Patch what has to be patched; call once, before the first connection."""
    for name, patch in _PATCHES:
        try:
            patch()
        except (AttributeError, TypeError) as exc:
            _log.warning("compat.unavailable what=%r reason=%r", name, exc)
