"""mitmproxy, embedded: built with the few addons that a recorder needs, sessions opened and closed while it runs."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import time
from collections.abc import Sequence
from pathlib import Path

from mitmproxy import options
from mitmproxy.addons.core import Core
from mitmproxy.addons.disable_h2c import DisableH2C
from mitmproxy.addons.next_layer import NextLayer
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.connection import Client
from mitmproxy.master import Master
from mitmproxy.proxy.server import ConnectionHandler

from addons import compat
from addons.access import LOOPBACK
from addons.authority import remove_links
from addons.base_urls import BaseUrls
from addons.deck_player import load_player
from addons.errors import StartError
from addons.interceptor import Interceptor, SessionTls
from addons.live import LiveSession, Phase, PortUse, SessionSpec
from addons.loopback import Loopback
from addons.loops import LoopGuard
from addons.player import Player
from addons.proxy_auth import ProxyAuth
from addons.recorder import Recorder
from addons.replayer import Replayer
from addons.seal import Seal
from addons.sessions import Sessions

_log = logging.getLogger(__name__)
_BACKLOG = 1024
"""Connections that may wait to be accepted; asyncio's default of 100 loses some of a burst of 2,000."""
_ATTEMPTS = 10
_STILL_MOVING_SECONDS = 1.0
"""A tunnel over which bytes went within this time is in flight."""
_LOOK_SECONDS = 0.02


class Engine:
    """One mitmproxy master and the sessions on it. There is one per process: mitmproxy's context is global."""

    def __init__(self, ca_folder: Path, writer: str) -> None:
        """Build the master inside the running loop; `writer` names this process in the journals."""
        compat.install()
        remove_links(ca_folder)
        self.sessions = Sessions()
        self._writer = writer
        self._prepared: dict[str, Phase] = {}
        """What sessions are about to do, by name."""
        self._servers: dict[str, list[asyncio.Server]] = {}
        self._common: asyncio.Server | None = None
        self._loopback = Loopback()
        opts = options.Options(confdir=str(ca_folder), mode=[])
        self._master = Master(opts)
        recorder = Recorder(self.sessions)
        self.measures = recorder.measures
        """What came of exchanges, by router."""
        self._proxyserver = Proxyserver()
        # The order is the order of the hooks: ours decide before NextLayer and after nothing that changes a flow.
        self._master.addons.add(
            Core(),
            self._proxyserver,
            DisableH2C(),
            LoopGuard(self.sessions),
            ProxyAuth(self.sessions),
            BaseUrls(self.sessions),
            Replayer(self._player_of, self._loopback, self._connects_for),
            Interceptor(self.sessions, self._loopback),
            recorder,
            NextLayer(),
            SessionTls(self.sessions),
            Seal(self._player_of),
        )
        compat.set_options(opts)
        self._running: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start mitmproxy; no port is open yet."""
        await self._loopback.start()
        self._running = asyncio.create_task(self._master.run())
        while not self._proxyserver.is_running:
            if self._running.done():
                self._running.result()
                raise StartError("mitmproxy ended as it started; see the log")
            await asyncio.sleep(0)

    async def open(self, spec: SessionSpec) -> LiveSession:
        """Open a session's ports and begin its journal.

        Raises StartError when a port is busy, StoreError when the journal cannot be written.
        """
        listeners: list[socket.socket] = []
        try:
            for port, option in (
                (spec.port, "--port"),
                *((one.listen_port, "--reverse") for one in spec.reverse),
            ):
                listeners.append(self._bind(port, spec.listen, option, spec.port_use, listeners))
            # A long cassette takes its time, and so does a slow disk; the other sessions' traffic goes on.
            spec, player = await asyncio.to_thread(load_player, spec)
            session = await asyncio.to_thread(LiveSession, spec, self._writer, player)
        except BaseException:
            for listener in listeners:
                listener.close()
            raise
        session.port, *ports = (listener.getsockname()[1] for listener in listeners)
        session.reverse = dict(zip(ports, spec.reverse, strict=True))
        self.sessions.add(session)
        self._servers[spec.name] = [await self._serve(listener) for listener in listeners]
        _log.info("session.opened session=%s port=%d", spec.name, session.port)
        return session

    async def open_common(self, port: int, use: PortUse) -> None:
        """Open the port on which clients name the session that they want; raises StartError when it is busy."""
        listener = self._bind(port, LOOPBACK, "--common-port", use, ())
        self.sessions.common_port = listener.getsockname()[1]
        self._common = await self._serve(listener)

    async def _serve(self, listener: socket.socket) -> asyncio.Server:
        accept = compat.accept_on(self._proxyserver, listener.getsockname()[1])
        return await asyncio.start_server(accept, sock=listener, backlog=_BACKLOG)

    def _bind(
        self, wanted: int, address: str, option: str, use: PortUse, own: Sequence[socket.socket]
    ) -> socket.socket:
        """Bind a port that no session has, on whatever address: connections are told apart by their port."""
        taken = {port for _, port in self.sessions.listeners} | {one.getsockname()[1] for one in own}
        for _ in range(_ATTEMPTS):
            if use is PortUse.FIRST and wanted:
                bind(wanted, address, option).close()  # fails where anybody else listens
            listener = bind(wanted, address, option, shared=use is not PortUse.ALONE)
            if listener.getsockname()[1] not in taken:
                return listener
            listener.close()
            if wanted:
                break
        raise StartError(
            f"port {wanted} is another session's, on another address; choose another with {option}"
        )

    async def prepare(self, session: LiveSession, spec: SessionSpec) -> None:
        """Make ready what a session needs to serve as `spec` says; `enter` or `abandon` follows.

        Raises StoreError or FormatError for the cassette or the journal.
        """
        spec, player = await asyncio.to_thread(load_player, spec, session.replayed)
        await asyncio.to_thread(session.begin_journal, spec)
        self._prepared[spec.name] = Phase(spec, player)

    def enter(self, session: LiveSession) -> None:
        """Serve what begins from now on as was prepared; what is under way ends in the mode that it began in.

        Nothing happens where nothing was: a worker that came in between was opened in that mode.
        """
        phase = self._prepared.pop(session.spec.name, None)
        if phase is None:
            return
        session.phase = phase
        _log.info(
            "session.switched session=%s records=%s replays=%s",
            phase.spec.name, phase.records, phase.player is not None,
        )  # fmt: skip

    async def abandon(self, session: LiveSession, *, ends_journal: bool) -> None:
        """Forget what was prepared; `ends_journal`: the journal too, which the session had not before."""
        self._prepared.pop(session.spec.name, None)
        if ends_journal:
            await asyncio.to_thread(session.close)

    async def close(self, session: LiveSession, drain_seconds: float) -> None:
        """Close a session: stop accepting, let what is in flight end, cut what has not by the deadline."""
        session.closing = True
        for server in self._servers.pop(session.spec.name):
            server.close()
        deadline = time.monotonic() + drain_seconds
        while self._is_in_flight(session) and time.monotonic() < deadline:
            await asyncio.sleep(_LOOK_SECONDS)
        await self._cut(session)
        self.sessions.remove(session)
        await asyncio.to_thread(session.close)  # the disk may be slow
        _log.info("session.closed session=%s cut=%d", session.spec.name, session.traffic.cut)

    def _is_in_flight(self, session: LiveSession) -> bool:
        if session.in_flight:
            return True
        recently = time.time() - _STILL_MOVING_SECONDS
        connections = self._connections_of(session)
        return any(c.client.id in session.tunnels and compat.last_activity(c) > recently for c in connections)

    async def _cut(self, session: LiveSession) -> None:
        """End the connections that are left: idle ones, and what is still in flight, which is counted."""
        session.traffic.cut = len(session.in_flight)
        for flight in session.in_flight.values():
            if flight.exchange is not None:
                flight.exchange.being_cut = True
        while connections := self._connections_of(session):
            for connection in connections:
                compat.cut(connection)
            await asyncio.sleep(_LOOK_SECONDS)

    def _connections_of(self, session: LiveSession) -> list[ConnectionHandler]:
        return [
            one
            for one in compat.open_connections(self._proxyserver)
            if self.sessions.of(one.client) is session
        ]

    async def stop(self) -> None:
        """Stop mitmproxy. Sessions must be closed before."""
        if self._common is not None:
            self._common.close()
        self._master.shutdown()
        if self._running is not None:
            await self._running
        await self._loopback.close()

    def _player_of(self, client: Client) -> Player | None:
        session = self.sessions.of(client)
        return session.player if session is not None else None

    def _connects_for(self, client: Client) -> Player | None:
        session = self.sessions.of(client)
        return session.phase_for(client.id).player if session is not None else None


def bind(
    port: int, address: str = LOOPBACK, option: str = "--port", *, shared: bool = False
) -> socket.socket:
    """Return a socket bound to this port, 0 for a free one, of an IP address.

    Raises StartError when it cannot be; `option` is what chooses the port. One that is `shared` gets a part of the
    connections: Linux deals them out among all that are (socket(7)).
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    # asyncio sets TCP_NODELAY only where the protocol is named (asyncio/base_events.py, _set_nodelay); without it
    # every answer waits for the client's delayed acknowledgement (measured: 44 ms in place of 2).
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        # With a zone (fe80::1%eth0) the address alone does not say it all.
        *_, where = socket.getaddrinfo(address, port, family, socket.SOCK_STREAM, 0, socket.AI_NUMERICHOST)[0]
        listener.bind(where)
    except OSError as exc:
        listener.close()
        if isinstance(exc, socket.gaierror) or exc.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
            raise StartError(
                f"cannot listen on {address}: {exc.strerror}; it has to be an address of this machine, see --listen"
            ) from exc
        # The port that all sessions have in common is known to clients: a free one would be of no use.
        free = "" if option == "--common-port" else ", or leave it out for a free one"
        raise StartError(
            f"port {port} cannot be used: {exc.strerror}; choose another with {option}{free}"
        ) from exc
    return listener
