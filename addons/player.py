"""What a session that replays decides; the addons ask, whoever builds the session answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from mitmproxy.connection import Client

from cassette.exchange import HeaderPairs
from cassette.model import Response
from cassette.timing import Timing


@dataclass(frozen=True, slots=True)
class Playable:
    """A recorded response that answers a request, and when its chunks came if that is known."""

    response: Response
    timing: Timing | None = None


@dataclass(frozen=True, slots=True)
class Missed:
    """Nothing in the cassette answers a request."""

    message: str
    """Why not, for a person: what was asked for, what came nearest and where it differs."""
    passes: bool = False
    """Whether the request goes to the upstream instead, as a new episode."""


class Player(Protocol):
    """What a session that replays decides."""

    @property
    def sealed(self) -> bool:
        """Whether nothing may reach the hosts that the session replays."""

    @property
    def refuses_others(self) -> bool:
        """Whether a sealed session refuses the hosts that it does not replay, or lets them through."""

    @property
    def factor(self) -> float:
        """By what recorded times are multiplied; 0 plays at once."""

    @property
    def compresses(self) -> bool:
        """Whether a response goes out with gzip to a client that asks for it."""

    @property
    def max_body(self) -> int:
        """Bytes of a request's body past which it is not matched."""

    def lists(self, host: str, port: int) -> bool:
        """Tell whether the session replays this host."""

    def plays(self, host: str, port: int, path: str) -> bool:
        """Tell whether a request to a listed host is to be matched; a sealed session matches them all."""

    def take(self, method: str, url: str, headers: HeaderPairs, body: bytes) -> Playable | Missed:
        """Return what answers this request, and count it as used. As the client sent it: nothing is redacted."""

    def too_long(self, method: str, url: str) -> Missed:
        """Count a request whose body is past `max_body`; return what it is told."""


PlayerOf = Callable[[Client], Player | None]
"""Finds the player of the session that a client connection belongs to; None when that does not replay."""
