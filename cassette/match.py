"""Find the recorded interaction that answers a request, each once, the first that was not used yet.

    deck = Deck(cassette.interactions, rules)
    match deck.take("POST", url, headers, body):
        case Hit(interaction): ...
        case Miss() as miss: print(cassette.explain.explain(miss))

Strictest first: a request takes the recording with its very bytes before one that is equal as JSON, and that
before one that is equal under the rules (`cassette.canonical`). So calls that run side by side find their own
recordings in whatever order they come. A lookup costs the reading of the request's body, not more with more
interactions; recorded bodies are read when the first request for their url needs more than equal bytes. Not
for use by several threads at once.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from cassette.canonical import (
    Level,
    body_of,
    content_type_of,
    exact_key,
    json_key,
    place_of,
    redacted_request,
    rules_key,
)
from cassette.exchange import HeaderPairs
from cassette.matchrules import MatchRules
from cassette.model import Interaction, Request


class Reason(enum.Enum):
    """Why nothing answers a request; the value is part of the JSON that scripts read."""

    NOTHING_RECORDED = "nothing-recorded"
    """No interaction has its method and its url."""
    BODIES_DIFFER = "bodies-differ"
    """Some have, but none its body."""
    ALL_USED = "all-used"
    """Those that match have answered before."""


@dataclass(frozen=True, slots=True)
class Hit:
    """The interaction that answers a request."""

    interaction: Interaction
    how: Level
    repeated: bool = False
    """Whether it has answered before, and stands in because all that match have."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An interaction that might have been meant."""

    interaction: Interaction
    used: bool


@dataclass(frozen=True, slots=True)
class Miss:
    """Why no interaction answers a request. `cassette.explain` says more, which takes longer."""

    reason: Reason
    request: Request
    """As a recorder would keep it: no credentials in url and form."""
    candidates: tuple[Candidate, ...]
    """In order: those that match and are used; else those with its method and url; else all there are."""
    rules: MatchRules


@dataclass(slots=True)
class _Queue:
    """Positions of interactions that are equal at some level, in order."""

    positions: list[int] = field(default_factory=list)
    done: int = 0
    """How many from the start are known to be used."""

    def first_unused(self, used: bytearray) -> int | None:
        """Return the first position that is not used; None when all are. Over all calls, one step each."""
        while self.done < len(self.positions):
            position = self.positions[self.done]
            if not used[position]:
                return position
            self.done += 1
        return None


_Key = TypeVar("_Key", bound=Hashable)
_Index = dict[_Key, _Queue]


@dataclass(slots=True)
class _Place:
    """The interactions of one method and url."""

    positions: list[int] = field(default_factory=list)
    by_json: _Index[tuple[str, bytes]] | None = None
    """None until it is needed, as is the next."""
    by_rules: _Index[bytes] | None = None


class Deck:
    """The interactions of a cassette, to be handed out one by one."""

    def __init__(
        self,
        interactions: Sequence[Interaction],
        rules: MatchRules | None = None,
        *,
        repeat: bool = False,
        claim: Callable[[int], bool] | None = None,
    ) -> None:
        """Take the interactions in their order. `repeat` lets the last that matches answer further calls.

        `claim`, where others hand out the same interactions: takes one by its position, unless another has it.
        """
        self._interactions = tuple(interactions)
        self._rules = MatchRules() if rules is None else rules
        self._repeat = repeat
        self._claim = claim
        self._used = bytearray(len(self._interactions))
        self._by_exact: _Index[tuple[str, str, bytes]] = {}
        self._places: dict[tuple[str, str], _Place] = {}
        for position, interaction in enumerate(self._interactions):
            request = _as_kept(interaction.request)
            _add(self._by_exact, exact_key(request), position)
            self._places.setdefault(place_of(request, self._rules), _Place()).positions.append(position)
        self.hits = 0
        """Requests that were answered, repeated answers among them."""
        self.misses = 0

    def index(self) -> None:
        """Read all recorded bodies now, rather than when they are needed first."""
        for place in self._places.values():
            self._by_json(place)
            self._by_rules(place)

    def take(self, method: str, url: str, headers: HeaderPairs, body: bytes) -> Hit | Miss:
        """Return the interaction that answers a request and mark it used, or why there is none.

        The request is given as it came, credentials and all; of its headers the Content-Type is looked at.
        """
        request = redacted_request(method, url, headers, body)
        found = self._find(request)
        if isinstance(found, Hit):
            self.hits += 1
        else:
            self.misses += 1
        return found

    def unused(self) -> tuple[Interaction, ...]:
        """Return the interactions that have answered nothing yet, in order."""
        return tuple(item for item, used in zip(self._interactions, self._used, strict=True) if not used)

    def note_used(self, taken: bytes) -> None:
        """Count those as used that others have handed out: a byte for each position, 0 for one that is not."""
        for position, flag in enumerate(taken):
            self._used[position] |= flag

    def _find(self, request: Request) -> Hit | Miss:
        exact = self._by_exact.get(exact_key(request))
        position = None if exact is None else self._next(exact)
        if position is not None:
            return self._hit(position, Level.EXACT)
        place = self._places.get(place_of(request, self._rules))
        if place is None:
            return self._miss(Reason.NOTHING_RECORDED, request, range(len(self._interactions)))
        queues = [(Level.EXACT, exact)] if exact is not None else []
        body = body_of(request)
        for level in (Level.JSON, Level.RULES):
            if level is Level.JSON:
                queue = self._by_json(place).get(json_key(request, body))
            else:
                queue = self._by_rules(place).get(rules_key(request, body, self._rules))
            if queue is not None:
                position = self._next(queue)
                if position is not None:
                    return self._hit(position, level)
                queues.append((level, queue))
        if not queues:
            return self._miss(Reason.BODIES_DIFFER, request, place.positions)
        level, queue = queues[0]
        if self._repeat:
            return Hit(self._interactions[queue.positions[-1]], level, repeated=True)
        return self._miss(Reason.ALL_USED, request, queue.positions)

    def _next(self, queue: _Queue) -> int | None:
        """Take the first interaction of a queue that is not used."""
        while (position := queue.first_unused(self._used)) is not None:
            self._used[position] = True
            if self._claim is None or self._claim(position):
                return position
        return None

    def _hit(self, position: int, level: Level) -> Hit:
        return Hit(self._interactions[position], level)

    def _miss(self, reason: Reason, request: Request, positions: Sequence[int]) -> Miss:
        candidates = (Candidate(self._interactions[at], bool(self._used[at])) for at in positions)
        return Miss(reason, request, tuple(candidates), self._rules)

    def _by_json(self, place: _Place) -> _Index[tuple[str, bytes]]:
        if place.by_json is None:
            place.by_json = {}
            for position in place.positions:
                request = _as_kept(self._interactions[position].request)
                _add(place.by_json, json_key(request, body_of(request)), position)
        return place.by_json

    def _by_rules(self, place: _Place) -> _Index[bytes]:
        if place.by_rules is None:
            place.by_rules = {}
            for position in place.positions:
                request = _as_kept(self._interactions[position].request)
                _add(place.by_rules, rules_key(request, body_of(request), self._rules), position)
        return place.by_rules


def _add(index: _Index[_Key], key: _Key, position: int) -> None:
    index.setdefault(key, _Queue()).positions.append(position)


def _as_kept(request: Request) -> Request:
    """Return a recorded request without credentials: not every recorder takes them out."""
    content_type = content_type_of(request)
    return redacted_request(request.method, request.url, (("Content-Type", content_type),), request.body)
