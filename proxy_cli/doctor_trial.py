"""A private wiretape for `wiretape doctor`: a home, a daemon and a session that are gone afterwards.

    probe ──▶ session (temporary home, its own CA) ──▶ router on 127.0.0.1

The router stands in for a name that no resolver knows (RFC 2606), so that a client which goes past the proxy reaches
nobody.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from addons.access import Login, proxy_url
from addons.errors import ProxyError
from cassette import load
from cassette.files import interrupted_path
from proxy_cli.control import Control
from proxy_cli.demo_router import DemoRouter
from proxy_cli.environment import client_environment
from proxy_cli.opening import Opened, open_session
from proxy_cli.places import Places
from proxy_cli.session_options import session_options
from proxy_cli.variables import VARIABLES

HOST = "wiretape-doctor.invalid"

_SESSION = "doctor"


@dataclass(frozen=True, slots=True)
class Arrived:
    """What came through a session."""

    urls: tuple[str, ...]
    """Of the exchanges that were recorded, interrupted ones included."""
    elsewhere: int
    """How many requests and tunnels went to hosts that are not recorded."""

    def by_host(self) -> Counter[str]:
        """Count the exchanges of each router."""
        return Counter(urlsplit(url).netloc for url in self.urls)


class Trial:
    """The open session."""

    def __init__(self, control: Control, opened: Opened, cassette: Path) -> None:
        self._control = control
        self._cassette = cassette
        session = opened.settings.session
        proxy = proxy_url(session.listen, opened.status["port"], session.login)
        self.proxy_address: tuple[str, int] = (str(urlsplit(proxy).hostname), opened.status["port"])
        self.environment: Mapping[str, str] = os.environ | client_environment(
            proxy, opened.ca, os.environ, _SESSION
        )
        """What a program gets: this shell's variables and those that `wiretape env` prints."""

    def finish(self) -> Arrived:
        """Close the session and tell what came through it."""
        summary = self._control.close(_SESSION)
        urls = [
            interaction.request.url
            for path in (self._cassette, interrupted_path(self._cassette))
            if path.exists()
            for interaction in load(path).interactions
        ]
        return Arrived(tuple(urls), summary["passed"] + summary["tunnels"])


@contextlib.contextmanager
def probing(login: Login | None) -> Iterator[Trial]:
    """Open a session whose only router is one of ours, for requests to HOST; clients log in with `login`, if any."""
    with DemoRouter(pause_ms=0, hosts=[HOST]) as router, _home() as folder:
        settings = folder / "settings.yaml"
        settings.write_text("{}\n", encoding="utf-8")
        arguments = [
            f"--config={settings}",
            "--listen=127.0.0.1",
            f"--host={HOST}",
            f"--connect-to={HOST}:443:127.0.0.1:{router.port}",
            f"--upstream-ca={router.ca_file}",
        ]
        if login is not None:
            arguments.append(f"--proxy-auth={login.text}")
        with _opened(folder, arguments, settings_of_user=False) as trial:
            yield trial


@contextlib.contextmanager
def recording() -> Iterator[Trial]:
    """Open a session with the user's own settings, whose cassette is thrown away."""
    with _home() as folder, _opened(folder, [], settings_of_user=True) as trial:
        yield trial


def knows_option(name: str) -> bool:
    """Tell whether a session has this option."""
    return any(name in parameter.opts for parameter in _command.params)


@contextlib.contextmanager
def _home() -> Iterator[Path]:
    # Short: a Unix socket's path has about 100 bytes.
    with tempfile.TemporaryDirectory(prefix="wt-doctor-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@contextlib.contextmanager
def _opened(folder: Path, arguments: Sequence[str], *, settings_of_user: bool) -> Iterator[Trial]:
    control = Control(Places(folder / "home"))
    cassette = folder / "doctor.yaml"
    options: dict[str, Any] = _command.make_context(
        "doctor", [*arguments, "--mode=record-only", f"--cassette={cassette}"]
    ).params
    try:
        with contextlib.nullcontext() if settings_of_user else _no_settings():
            opened = open_session(control, _SESSION, options, default_cassette="", owner_pid=os.getpid())
        yield Trial(control, opened, cassette)
    finally:
        with contextlib.suppress(ProxyError):
            control.shut_down()


@contextlib.contextmanager
def _no_settings() -> Iterator[None]:
    """Hide the variables that set something: a proxy in front of all upstreams would not know our router."""
    hidden = {name: os.environ.pop(name) for name in (*VARIABLES, "WIRETAPE_CONFIG") if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(hidden)


@click.command()
@session_options
def _command(**_options: Any) -> None:
    """Stand for `run` and `start`, whose options are read here."""
