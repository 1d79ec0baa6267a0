"""A session's cassette as what answers requests: `player.Player` over `cassette.match.Deck`."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from addons.claims import Claims
from addons.live import ReplaySpec, SessionSpec
from addons.player import Missed, Playable
from cassette.canonical import canonical_url, redact_values
from cassette.errors import StoreError
from cassette.exchange import HeaderPairs
from cassette.explain import explain
from cassette.match import Deck, Hit
from cassette.model import Cassette
from cassette.store import load
from cassette.timing import Timing, read_timing, timing_path

_log = logging.getLogger(__name__)
_PORTS = {"http": 80, "https": 443}
_MESSAGES = 5
"""How many misses are remembered with their explanations, for whoever asks for the counts; all are in the log."""
_LONGEST_MESSAGE = 4000
"""Characters of such an explanation."""


@dataclass(slots=True)
class ReplayCounts:
    """What a session replayed, over all the phases in which it does."""

    hits: int = 0
    misses: int = 0
    messages: deque[str] = field(default_factory=lambda: deque(maxlen=_MESSAGES))
    """Why the last misses of a sealed phase were."""

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {"hits": self.hits, "misses": self.misses, "miss_messages": list(self.messages)}


class DeckPlayer:
    """Answers each request with the interaction that was recorded for it, once."""

    def __init__(
        self,
        spec: SessionSpec,
        recorded: Cassette,
        timings: Mapping[int, Timing],
        counted: ReplayCounts | None = None,
    ) -> None:
        """Index what was recorded; `counted` is what the session replayed before, to be added to."""
        assert spec.replay is not None
        self.counted = counted or ReplayCounts()
        self._name = spec.name
        self._max_body = spec.max_body
        self._replay: ReplaySpec = spec.replay
        self._routers = spec.routers
        self._hosts = frozenset(_host_of(one.request.url) for one in recorded.interactions)
        self._timings = timings
        count, shared = len(recorded.interactions), self._replay.claims
        self._claims = Claims(shared, count) if shared is not None else None
        self._deck = Deck(
            recorded.interactions,
            self._replay.match,
            repeat=self._replay.repeat,
            claim=self._claims.claim if self._claims is not None else None,
        )
        self._deck.index()

    @property
    def sealed(self) -> bool:
        """Whether nothing may reach the hosts that the session replays."""
        return self._replay.sealed

    @property
    def refuses_others(self) -> bool:
        """Whether a sealed session refuses the hosts that it does not replay."""
        return self._replay.refuses_others

    @property
    def factor(self) -> float:
        """By what recorded times are multiplied; 0 plays at once."""
        return self._replay.factor

    @property
    def compresses(self) -> bool:
        """Whether a response goes out with gzip to a client that asks for it."""
        return self._replay.compresses

    @property
    def max_body(self) -> int:
        """Bytes of a request's body past which it is not matched."""
        return self._max_body

    def lists(self, host: str, port: int) -> bool:
        """Tell whether the session replays this host: a router, or one that its cassette has answers of."""
        return (host.lower(), port) in self._hosts or self._routers.find(host, port) is not None

    def plays(self, host: str, port: int, path: str) -> bool:
        """Tell whether a request to a listed host is to be matched."""
        router = self._routers.find(host, port)
        return router is None or self._routers.records_path(router, path)

    def take(self, method: str, url: str, headers: HeaderPairs, body: bytes) -> Playable | Missed:
        """Return what answers this request, and count it as used."""
        found = self._deck.take(method, url, headers, body)
        if isinstance(found, Hit):
            self.counted.hits += 1
            interaction = found.interaction
            return Playable(interaction.response, self._timings.get(interaction.id))
        self.counted.misses += 1
        message = explain(found)
        if not self.sealed:
            _log.info("replay.new_episode session=%s", self._name)
            return Missed(message, passes=True)
        return self._missed(message)

    def _missed(self, message: str) -> Missed:
        self.counted.messages.append(_shortened(message))
        for line in message.splitlines():
            _log.warning("replay.miss session=%s | %s", self._name, line)
        return Missed(message)

    def too_long(self, method: str, url: str) -> Missed:
        """Count a request whose body is past `max_body`, which is not kept to be matched."""
        self.counted.misses += 1
        return self._missed(
            f"the body of {redact_values(f'{method} {canonical_url(url)}')} is longer than limits.max_body,"
            f" {self._max_body} bytes, so it was not matched; raise the limit if it was recorded"
        )

    @property
    def unused(self) -> int:
        """How many interactions have answered nothing yet, in any worker."""
        if self._claims is not None:
            self._deck.note_used(self._claims.taken())
        return len(self._deck.unused())


def load_player(
    spec: SessionSpec, counted: ReplayCounts | None = None
) -> tuple[SessionSpec, DeckPlayer | None]:
    """Read a session's cassette; return its player, and its description with the cassette's hosts added.

    A recording may be of hosts that were added to the routers then and are not now. Raises StoreError or
    FormatError when the cassette cannot be read.
    """
    if spec.replay is None:
        return spec, None
    path = spec.replay.cassette
    recorded = load(path)
    hosts = {_host_of(one.request.url) for one in recorded.interactions} - {("", 0)}
    spec = replace(spec, routers=spec.routers.with_hosts(sorted(hosts)))
    return spec, DeckPlayer(spec, recorded, _read_timings(timing_path(path)), counted)


def _read_timings(path: Path) -> Mapping[int, Timing]:
    try:
        return read_timing(path.read_bytes())
    except FileNotFoundError:
        return {}
    except OSError as exc:
        raise StoreError(f"cannot read the times: {exc.strerror}", path=path) from exc


def _shortened(message: str) -> str:
    if len(message) <= _LONGEST_MESSAGE:
        return message
    return f"{message[:_LONGEST_MESSAGE]}\n... (the rest is in the log)"


def _host_of(url: str) -> tuple[str, int]:
    try:
        parts = urlsplit(url)
        return (parts.hostname or "").lower(), parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError:
        return "", 0
