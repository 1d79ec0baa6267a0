"""Open a session as `run` and `start` do: settings, CA, the daemon if none runs, the request."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from addons.settings import Settings
from proxy_cli.ca import CaPaths
from proxy_cli.control import Control
from proxy_cli.session_options import resolve, session_request
from proxy_cli.trust import client_ca, write_upstream_roots


@dataclass(frozen=True, slots=True)
class Opened:
    """A session that was just opened."""

    status: dict[str, Any]
    """As the daemon reports it."""
    settings: Settings
    ca: CaPaths


def open_session(
    control: Control,
    name: str,
    options: dict[str, Any],
    *,
    default_cassette: str,
    owner_pid: int | None = None,
) -> Opened:
    """Open a session with these options; raises what is wrong with them, and what the daemon reports."""
    settings = resolve(options)
    paths = client_ca(control.places.home, os.environ)
    extra = [settings.upstream.ca] if settings.upstream.ca is not None else []
    roots = write_upstream_roots(control.places.home, os.environ, extra)
    request = session_request(
        name, options, settings, roots, default_cassette=default_cassette, owner_pid=owner_pid
    )
    control.ensure_daemon(settings.daemon.linger_seconds, {"workers": str(settings.daemon.workers)})
    return Opened(control.open(request), settings, paths)
