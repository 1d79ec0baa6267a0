"""Open a session as `run` and `start` do: settings, CA, the daemon if none runs, the request."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import Any

import click

from addons.access import LOOPBACK
from addons.errors import ControlError
from addons.routing import NO_UPSTREAM_PROXY
from addons.settings import Settings
from proxy_cli.ca import CaPaths
from proxy_cli.control import Control
from proxy_cli.outer_proxy import OuterProxy, outer_proxy
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
    outer = _outer(control) if settings.upstream.proxy is None else None
    _warn(settings, outer)
    request = session_request(
        name, options, settings, roots, default_cassette=default_cassette, owner_pid=owner_pid, outer=outer
    )
    daemon = settings.daemon
    common_port = str(daemon.common_port) if daemon.common_port is not None else None
    control.ensure_daemon(daemon.linger_seconds, {"workers": str(daemon.workers), "common_port": common_port})
    return Opened(control.open(request), settings, paths)


def _outer(control: Control) -> OuterProxy:
    """Return the proxy that the environment names, unless that is a session's."""
    outer = outer_proxy(os.environ)
    if outer.url == NO_UPSTREAM_PROXY:
        return outer
    try:
        answer = control.status()
    except ControlError:  # no daemon, no sessions
        return outer
    listeners = [(one["listen"], one["port"]) for one in answer["sessions"]]
    if answer["daemon"]["common_port"] is not None:
        listeners.append((LOOPBACK, answer["daemon"]["common_port"]))
    return outer_proxy(os.environ, listeners)


def _warn(settings: Settings, outer: OuterProxy | None) -> None:
    """Say what is doubtful and yet no error."""
    if outer is not None and outer.unusable:
        click.echo(f"wiretape: {outer.unusable}", err=True)
    cert = settings.upstream.client_cert
    if cert is not None and (mode := stat.S_IMODE(cert.stat().st_mode)) & 0o077:
        click.echo(
            f"wiretape: others can read the key in {cert} (mode {mode:04o}); chmod 600 {cert}", err=True
        )
