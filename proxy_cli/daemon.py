"""The daemon's life: one per home, holds the sessions, answers the control API, ends in good order.

daemon ──▶ proxy worker (mitmproxy; the traffic)        both are children that are spoken to over pipes
       └─▶ scribe (journals to cassettes)               and end when the daemon does, however it ends
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

from addons.errors import ControlError, StartError
from addons.settings import DaemonSettings
from cassette.files import as_store_error
from cassette.recovery import recover
from proxy_cli import __version__
from proxy_cli.ca import ensure_ca
from proxy_cli.control import Control
from proxy_cli.control_server import ControlServer, Reply
from proxy_cli.jsonlog import JsonLines
from proxy_cli.logs import PrivateLog
from proxy_cli.messages import API, SessionRequest, parse_switch
from proxy_cli.observing import ObservingServer
from proxy_cli.outer_proxy import outer_proxy
from proxy_cli.places import Places
from proxy_cli.private import PrivateFolder
from proxy_cli.registry import Registry
from proxy_cli.trust import refresh_bundles
from proxy_cli.workers import worker_count

_log = logging.getLogger(__name__)
_TICK_SECONDS = 1.0
_LOCK_SECONDS = 10.0
_LOOK_SECONDS = 0.02
_CA_SECONDS = 3600.0
"""How often the CA is looked after; it costs a few milliseconds."""


class Daemon:
    """Serves until it is told to stop: by a signal, by the control API, or by having had nothing to do."""

    def __init__(self, places: Places, settings: DaemonSettings, *, lingers: bool) -> None:
        """`lingers`: end by itself after `linger_seconds` without a session; else never."""
        self._places = places
        self._metrics = settings.metrics
        self._workers = settings.workers
        self._common_port = settings.common_port
        self._observing: ObservingServer | None = None
        self._linger_seconds = settings.linger_seconds if lingers else None
        self._started_at = time.time()
        self._stop = threading.Event()
        self._busy_at = time.monotonic()
        self._recovered: list[str] = []
        self._registry: Registry | None = None
        self._ca_looked_at = 0.0

    def run(self) -> None:
        """Hold the home's lock and serve; raises StartError when another daemon has it."""
        lock = self._take_lock()
        try:
            self._serve()
        finally:
            os.close(lock)

    def _take_lock(self) -> int:
        path = self._places.lock
        with as_store_error("lock the home", path):
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + _LOCK_SECONDS
        while not _try_lock(handle):
            # Who has the lock and does not listen is about to: or it has just ended and is nearly gone.
            if Control(self._places).is_running() or time.monotonic() > deadline:
                pid = os.pread(handle, 20, 0).decode(errors="replace").strip()
                os.close(handle)
                raise StartError(
                    f"a daemon is running already (pid {pid}); see: wiretape status,"
                    " or stop it: wiretape daemon stop"
                )
            time.sleep(_LOOK_SECONDS)
        os.ftruncate(handle, 0)
        os.pwrite(handle, str(os.getpid()).encode(), 0)
        return handle

    def _serve(self) -> None:
        ca = ensure_ca(self._places.home)
        PrivateFolder(self._places.journals).close()
        for done in recover(self._places.journals):
            _log.warning(
                "session.recovered session=%s interactions=%d interrupted=%d problem=%s",
                done.name, done.interactions, done.interrupted, done.problem,
            )  # fmt: skip
        if self._metrics is not None:
            self._observing = ObservingServer(self._metrics, self._observe)
        self._registry = registry = Registry(
            self._places.journals,
            ca.directory,
            workers=worker_count(self._workers, sys.platform),
            common_port=self._common_port,
        )
        PrivateFolder(self._places.socket.parent).close()
        server = ControlServer(self._places.socket, self._route)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        threading.Thread(target=server.serve_forever, args=(0.1,), name="control", daemon=True).start()
        if self._observing is not None:
            threading.Thread(target=self._observing.serve_forever, name="metrics", daemon=True).start()
        _log.info("daemon.started pid=%d version=%s", os.getpid(), __version__)
        try:
            while not self._stop.wait(_TICK_SECONDS):
                self._tick(registry)
        finally:
            registry.close_all()
            server.shutdown()
            server.server_close()
            self._places.socket.unlink(missing_ok=True)
            _log.info("daemon.stopped pid=%d", os.getpid())

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._stop.set()

    def _tick(self, registry: Registry) -> None:
        registry.refresh()
        # Not the monotonic clock, which stands while a laptop sleeps.
        if abs(time.time() - self._ca_looked_at) > _CA_SECONDS:
            self._ca_looked_at = time.time()
            self._look_after_ca()
        for name in registry.orphans():
            _log.warning("session.orphaned session=%s", name)
            threading.Thread(target=registry.close, args=(name,), daemon=True).start()
        if len(registry):
            self._busy_at = time.monotonic()
        elif self._has_lingered() and registry.retire():
            _log.info("daemon.idle seconds=%s", self._linger_seconds)
            self._stop.set()

    def _look_after_ca(self) -> None:
        """Make the CA's successor in time, and hand it to the clients that are to come."""
        try:
            ensure_ca(self._places.home)
            refresh_bundles(self._places.home)
        except StartError as exc:
            _log.error("ca.not_renewed reason=%s", exc)

    def _has_lingered(self) -> bool:
        return self._linger_seconds is not None and time.monotonic() - self._busy_at > self._linger_seconds

    def _route(self, method: str, path: str, body: dict[str, Any]) -> Any:
        assert self._registry is not None
        registry = self._registry
        match method, path.strip("/").split("/"):
            case "GET", ["status"]:
                return self._everything()
            case "GET", ["health" | "ready" | "metrics"]:
                return self._observe(path)
            case "POST", ["sessions"]:
                self._busy_at = time.monotonic()
                return registry.open(
                    with_outer_proxy(SessionRequest.from_json(body), os.environ, registry.listeners())
                )
            case "GET", ["sessions", name, "proxy"]:
                return {"proxy": registry.proxy_of(name), "common_proxy": registry.common_proxy_of(name)}
            case "PUT", ["sessions", name, "mode"]:
                return registry.switch(name, *parse_switch(body))
            case "DELETE", ["sessions", name]:
                return registry.close(name, body.get("drain_seconds"))
            case "POST", ["shutdown"]:
                self._stop.set()
                return {}
        raise ControlError(f"the daemon does not know {method} {path}")

    def _everything(self) -> dict[str, Any]:
        assert self._registry is not None
        self._registry.refresh()
        return {"daemon": self._status(), "sessions": self._registry.statuses()}

    def _observe(self, path: str) -> Reply | None:
        """Answer what a monitoring system asks; None for an unknown path."""
        assert self._registry is not None
        match path.strip("/"):
            case "health":
                return Reply(200, "application/json", b'{"status": "alive"}\n')
            case "ready":
                problems = self._registry.problems()
                body = json.dumps({"problems": problems}).encode() + b"\n"
                return Reply(503 if problems else 200, "application/json", body)
            case "metrics":
                from proxy_cli.metrics import CONTENT_TYPE_LATEST, exposition  # noqa: PLC0415 - few ask for them

                text = exposition(self._everything(), self._registry.measures())
                return Reply(200, CONTENT_TYPE_LATEST, text)
        return None

    def _status(self) -> dict[str, Any]:
        assert self._registry is not None
        return {
            "pid": os.getpid(),
            "api": API,
            "version": __version__,
            "uptime_seconds": round(time.time() - self._started_at, 1),
            "home": str(self._places.home),
            "socket": str(self._places.socket),
            "log": str(self._places.log),
            "common_port": self._common_port,
            "metrics": self._observing.url if self._observing is not None else None,
            **{f"{name}_pid": pid for name, pid in self._registry.pids().items()},
            "workers": self._registry.workers(),
            "restarts": self._registry.restarts(),
        }


def _try_lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def with_outer_proxy(
    request: SessionRequest, env: Mapping[str, str], listeners: Collection[tuple[str, int]]
) -> SessionRequest:
    """Return a request that says how upstreams are reached; one that does not gets the daemon's own proxy."""
    if request.upstream_proxy is not None:
        return request
    outer = outer_proxy(env, listeners)
    if outer.unusable:
        _log.warning("session.no_proxy session=%s reason=%s", request.name, outer.unusable)
    return replace(request, upstream_proxy=outer.url, no_proxy=outer.no_proxy)


def run_daemon(places: Places, settings: DaemonSettings, *, lingers: bool) -> None:
    """Be the daemon until it ends; raises StartError when there is one already.

    One that `lingers` was started by a command: nobody reads its standard error.
    """
    os.umask(0o077)
    PrivateFolder(places.home).close()
    _set_up_log(places.log, settings, to_stderr=not lingers)
    Daemon(places, settings, lingers=lingers).run()


def _set_up_log(path: Path, settings: DaemonSettings, *, to_stderr: bool) -> None:
    handlers: list[logging.Handler] = [PrivateLog(path)]
    if to_stderr:
        handlers.append(logging.StreamHandler())
    formatter = (
        JsonLines()
        if settings.log_format == "json"
        else logging.Formatter("%(asctime)s %(levelname)s %(message)s")
    )
    for handler in handlers:
        handler.setFormatter(formatter)
    logging.basicConfig(handlers=handlers, level=settings.log_level.upper())
