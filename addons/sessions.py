"""Which session a client connection belongs to: the one whose port it came in on.

On the common port of all sessions it is the one that the client names when it logs in, and none before.
"""

from __future__ import annotations

from collections.abc import Iterator
from weakref import WeakKeyDictionary

from mitmproxy.connection import Client

from addons.access import LOOPBACK
from addons.live import LiveSession


class Sessions:
    """The sessions of one worker, by port and by name."""

    def __init__(self) -> None:
        self._sessions: list[LiveSession] = []
        self._by_port: dict[int, LiveSession] = {}
        self._by_client: WeakKeyDictionary[Client, LiveSession] = WeakKeyDictionary()
        """Connections to the common port."""
        self.common_port: int | None = None
        self.default: LiveSession | None = None
        """Takes the connections of every port that no session has: for mitmdump, which opens its own."""

    def of(self, client: Client) -> LiveSession | None:
        """Return the session that this client connection belongs to."""
        if self.is_common(client):
            return self._by_client.get(client)
        return self._by_port.get(client.sockname[1], self.default)

    def is_common(self, client: Client) -> bool:
        """Tell whether a client connection came in on the common port."""
        return self.common_port is not None and client.sockname[1] == self.common_port

    def bind(self, client: Client, session: LiveSession) -> None:
        """Have a connection to the common port belong to a session from now on."""
        self._by_client[client] = session

    def add(self, session: LiveSession) -> None:
        """Serve a session; its ports are known by now."""
        self._sessions.append(session)
        self._by_port.update(dict.fromkeys((session.port, *session.reverse), session))

    def remove(self, session: LiveSession) -> None:
        """Serve it no more."""
        self._sessions.remove(session)
        for port in (session.port, *session.reverse):
            self._by_port.pop(port, None)

    @property
    def listeners(self) -> set[tuple[str, int]]:
        """The addresses and ports that clients connect to."""
        own = {(one.spec.listen, port) for one in self for port in (one.port, *one.reverse)}
        return own if self.common_port is None else own | {(LOOPBACK, self.common_port)}

    def named(self, name: str) -> LiveSession | None:
        """Return the session of this name."""
        return next((session for session in self if session.spec.name == name), None)

    def __iter__(self) -> Iterator[LiveSession]:
        return iter(list(self._sessions))
