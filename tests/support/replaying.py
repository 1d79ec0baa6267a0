"""A proxy that replays, in a thread: mitmproxy with our addons and a player that tests script."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mitmproxy import options
from mitmproxy.addons.core import Core
from mitmproxy.addons.disable_h2c import DisableH2C
from mitmproxy.addons.next_layer import NextLayer
from mitmproxy.addons.proxyserver import Proxyserver
from mitmproxy.master import Master

from addons import compat
from addons.engine import bind
from addons.interceptor import Interceptor, SessionTls
from addons.live import LiveSession, SessionSpec
from addons.loopback import Loopback, Pause
from addons.player import Missed, Playable
from addons.replayer import Replayer
from addons.routing import parse_connect_to
from addons.seal import Seal
from addons.sessions import Sessions
from addons.settings import router_table
from cassette.exchange import HeaderPairs
from cassette.headerfilter import HeaderPolicy
from tests.support.scripts import DEADLINE_S
from tests.support.upstream import Upstream
from tests.support.wiretape import Session

LISTED = "api.openai.com"
"""The host that is replayed."""
OTHER = "other.example"
"""A host that is not. Both would lead to the upstream."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A request as the player was asked for it."""

    method: str
    url: str
    headers: HeaderPairs
    body: bytes


@dataclass(slots=True)
class ScriptedPlayer:
    """Answers the requests in the order of its script, and remembers them."""

    hosts: tuple[str, ...] = (LISTED,)
    sealed: bool = True
    refuses_others: bool = True
    factor: float = 0
    compresses: bool = False
    script: list[Playable | Missed | Exception] = field(default_factory=list)
    taken: list[Taken] = field(default_factory=list)
    max_body: int = 1 << 20

    def lists(self, host: str, port: int) -> bool:
        return host in self.hosts

    def plays(self, host: str, port: int, path: str) -> bool:
        return path.startswith("/v1/")

    def take(self, method: str, url: str, headers: HeaderPairs, body: bytes) -> Playable | Missed:
        self.taken.append(Taken(method, url, headers, body))
        found = self.script.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    def too_long(self, method: str, url: str) -> Missed:
        return Missed(f"the body of {method} {url} is too long")


class ReplayingProxy:
    """The proxy: one session, whose player can be changed between two tests. The upstream is where it must not go."""

    def __init__(self, folder: Path, upstream: Upstream) -> None:
        self._folder = folder
        self._upstream = upstream
        self._stop: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._pause: Pause | None = None
        self.port = 0
        self.player = ScriptedPlayer()
        self.loopback = Loopback(self._pausing)
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def as_session(self) -> Session:
        """What a client has to know."""
        proxy = f"http://127.0.0.1:{self.port}"
        ca_file = str(self._folder / "mitmproxy-ca-cert.pem")
        return Session("replay", self._folder / "none.yaml", {"HTTPS_PROXY": proxy, "SSL_CERT_FILE": ca_file})

    def play(self, *script: Playable | Missed | Exception, pause: Pause | None = None) -> ScriptedPlayer:
        """Answer the next requests so; `pause` waits in place of the clock."""
        self.player = ScriptedPlayer(script=list(script))
        self._pause = pause
        return self.player

    def _spec(self) -> SessionSpec:
        return SessionSpec(
            name="replay",
            directory=None,
            port=self.port,
            headers=HeaderPolicy(),
            routers=router_table([LISTED], []),
            max_body=1 << 20,
            trusted_ca=self._upstream.ca_file,
            connect_to=tuple(
                parse_connect_to(self._upstream.connect_to(host, port))
                for host in (LISTED, OTHER)
                for port in (80, 443)
            ),
        )

    def start(self) -> None:
        """Start the thread and wait for the port."""
        self._thread.start()
        assert self._ready.wait(DEADLINE_S)
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """End the thread."""
        assert self._loop is not None
        assert self._stop is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(DEADLINE_S)
        assert not self._thread.is_alive()

    async def _pausing(self, nanoseconds: int) -> None:
        if self._pause is not None:
            await self._pause(nanoseconds)
        else:
            await asyncio.sleep(nanoseconds / 1e9)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as exc:  # for the test's thread
            self._failure = exc
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        compat.install()
        await self.loopback.start()
        listener = bind(0)
        self.port = listener.getsockname()[1]
        sessions = Sessions()
        sessions.add(LiveSession(self._spec(), "replay"))
        proxyserver = Proxyserver()
        master = Master(options.Options(confdir=str(self._folder), mode=[]))
        master.addons.add(
            Core(),
            proxyserver,
            DisableH2C(),
            Replayer(lambda _: self.player, self.loopback),
            Interceptor(sessions),
            NextLayer(),
            SessionTls(sessions),
            Seal(lambda _: self.player),
        )
        compat.set_options(master.options)
        running = asyncio.create_task(master.run())
        while not proxyserver.is_running:
            await asyncio.sleep(0)
        server = await asyncio.start_server(compat.accept_on(proxyserver, self.port), sock=listener)
        self._ready.set()
        await self._stop.wait()
        server.close()
        while connections := compat.open_connections(proxyserver):
            for connection in connections:
                compat.cut(connection)
            await asyncio.sleep(0.01)
        await self.loopback.close()
        master.shutdown()
        await running


@contextlib.contextmanager
def replaying(folder: Path, upstream: Upstream) -> Iterator[ReplayingProxy]:
    """Run the proxy for the length of a block. There can be one per process: mitmproxy's context is global."""
    proxy = ReplayingProxy(folder, upstream)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.stop()
