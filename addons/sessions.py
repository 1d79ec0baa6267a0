"""Which session a client connection belongs to: the one whose port it came in on."""

from __future__ import annotations

from collections.abc import Iterator

from mitmproxy.connection import Client

from addons.live import LiveSession


class Sessions:
    """The sessions of one worker, by port and by name."""

    def __init__(self) -> None:
        self._by_port: dict[int, LiveSession] = {}
        self.default: LiveSession | None = None
        """Takes the connections of every port that no session has: for mitmdump, which opens its own."""

    def of(self, client: Client) -> LiveSession | None:
        """Return the session that this client connection belongs to."""
        return self._by_port.get(client.sockname[1], self.default)

    def add(self, session: LiveSession) -> None:
        """Serve a session; its port is known by now."""
        self._by_port[session.port] = session

    def remove(self, session: LiveSession) -> None:
        """Serve it no more."""
        self._by_port.pop(session.port, None)

    def named(self, name: str) -> LiveSession | None:
        """Return the session of this name."""
        return next((session for session in self if session.spec.name == name), None)

    def __iter__(self) -> Iterator[LiveSession]:
        return iter(list(self._by_port.values()))
