"""From a journal's records to exchanges: the state of each exchange that is under way, without IO.

    records ─▶ Assembler.feed ─▶ Finished (an exchange, whole or broken off) | Dropped | nothing yet

Bodies are not copied about: a small one is kept as it came, of a large one only where it lies in the journal
(`Span`). `Draft.exchange` puts it together when the exchange is written.

An exchange under way needs the segments that have records of it, and no others, and of those its records only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from cassette import journal
from cassette.arrivals import Arrivals
from cassette.exchange import Exchange, HeaderPairs, Outcome, RequestHead, ResponseHead
from cassette.journal import Kind, Record

INLINE_BYTES = 64 << 10
"""How much of one body is kept in memory before the rest is only remembered by place; chosen, not measured."""

_RUN_BYTES, _NEAR_BYTES = 1 << 20, 4 << 10
"""How much is read in one go, and how far apart pieces may lie for that; chosen, not measured."""


@dataclass(frozen=True, slots=True)
class Span:
    """Where a payload lies in the journal of the exchange's writer."""

    segment: int
    at: int
    size: int


ReadSpan = Callable[[Span], bytes]


@dataclass(slots=True)
class Body:
    """A body as it comes in: bytes at first, places in the journal past INLINE_BYTES."""

    pieces: list[bytes | Span] = field(default_factory=list)
    size: int = 0

    def add(self, payload: memoryview | bytes, span: Span) -> None:
        """Take one piece; the payload is copied or left where it is."""
        self.size += len(payload)
        self.pieces.append(bytes(payload) if self.size <= INLINE_BYTES else span)

    def move(self, segment: int, moved: Mapping[int, int]) -> None:
        """Take note of where payloads of a segment lie now."""
        self.pieces = [
            Span(segment, moved[piece.at], piece.size)
            if isinstance(piece, Span) and piece.segment == segment
            else piece
            for piece in self.pieces
        ]

    def join(self, read: ReadSpan) -> bytes:
        """Return the whole body."""
        whole: list[bytes | memoryview] = []
        for run in _runs(self.pieces):
            if isinstance(run, bytes):
                whole.append(run)
                continue
            begin, end = run[0].at, run[-1].at + run[-1].size
            data = memoryview(read(Span(run[0].segment, begin, end - begin)))
            whole.extend(data[span.at - begin :][: span.size] for span in run)
        return whole[0] if len(whole) == 1 and isinstance(whole[0], bytes) else b"".join(whole)


def _runs(pieces: Iterable[bytes | Span]) -> Iterator[bytes | list[Span]]:
    """Put places together that are read in one go, with what little lies between them."""
    run: list[Span] = []
    for piece in pieces:
        if isinstance(piece, Span) and run and _is_near(piece, run):
            run.append(piece)
            continue
        if run:
            yield run
            run = []
        if isinstance(piece, Span):
            run.append(piece)
        else:
            yield piece
    if run:
        yield run


def _is_near(span: Span, run: list[Span]) -> bool:
    first, last = run[0], run[-1]
    is_behind = span.segment == last.segment and 0 <= span.at - last.at - last.size <= _NEAR_BYTES
    return is_behind and span.at + span.size - first.at <= _RUN_BYTES


@dataclass(slots=True)
class Draft:
    """An exchange that is under way."""

    number: int
    request: RequestHead
    started_at_ns: int
    request_body: Body = field(default_factory=Body)
    request_trailers: HeaderPairs = ()
    request_ended: bool = False
    request_ended_at_ns: int | None = None
    response: ResponseHead | None = None
    response_at_ns: int | None = None
    response_body: Body = field(default_factory=Body)
    arrivals: Arrivals | None = None
    """When the response's chunks came; None where that is not kept."""
    response_trailers: HeaderPairs = ()
    response_ended: bool = False
    outcome: Outcome = Outcome.COMPLETE
    reason: str = ""
    segments: list[int] = field(default_factory=list)
    """Known at the end: those with records of this exchange, in order. It needs them until it is written."""

    def exchange(self, read: ReadSpan) -> Exchange:
        """Put the exchange together, bodies included."""
        return Exchange(
            self.request,
            self.request_body.join(read),
            self.request_trailers,
            self.response,
            self.response_body.join(read),
            self.response_trailers,
            self.started_at_ns,
            self.response_at_ns,
            self.outcome,
            self.reason,
            self.request_ended,
        )


@dataclass(frozen=True, slots=True)
class Finished:
    """An exchange that ended; `draft.outcome` says how."""

    draft: Draft


@dataclass(frozen=True, slots=True)
class Dropped:
    """An exchange that is not to be recorded, and why."""

    number: int
    reason: str
    segments: list[int]
    """Those with records of this exchange, in order."""


class Assembler:
    """All the exchanges of one writer that are under way. Records must come in the order they were written."""

    def __init__(self, *, keeps_arrivals: bool = False) -> None:
        """Begin; `keeps_arrivals` remembers when each chunk of the responses came."""
        self._keeps_arrivals = keeps_arrivals
        self._drafts: dict[int, Draft] = {}
        self._partial: dict[tuple[int, int], bytearray] = {}
        self._segments: dict[int, dict[int, int]] = {}
        """Of every exchange whose head began, the segments with records of it, and how many bytes those are."""
        self._needed: Counter[int] = Counter()
        self.released = 0
        """Grows when exchanges come to need less."""

    def __len__(self) -> int:
        """Return how many exchanges are under way."""
        return len(self._drafts)

    def needs(self, segment: int) -> int:
        """Return how many bytes of a segment are records of exchanges under way."""
        return self._needed[segment]

    def is_under_way(self, number: int) -> bool:
        """Tell whether the records of an exchange are needed."""
        return number in self._segments

    def move(self, segment: int, moved: Mapping[int, int]) -> None:
        """Take note that a segment was written anew: by old place, where the payloads that are needed lie now."""
        for draft in self._drafts.values():
            if segment in self._segments[draft.number]:
                draft.request_body.move(segment, moved)
                draft.response_body.move(segment, moved)

    def feed(self, record: Record, segment: int, payload_at: int) -> Finished | Dropped | None:
        """Take one record; return what it finished, if it finished something."""
        if not self._hold(record, segment):
            return None
        key = (record.exchange, record.kind)
        is_data = record.kind in (Kind.REQUEST_DATA, Kind.RESPONSE_DATA)
        if record.more and not is_data:
            self._partial.setdefault(key, bytearray()).extend(record.payload)
            return None
        if is_data:
            draft = self._drafts.get(record.exchange)
            if draft is not None:
                span = Span(segment, payload_at, len(record.payload))
                body = draft.request_body if record.kind == Kind.REQUEST_DATA else draft.response_body
                body.add(record.payload, span)
                if draft.arrivals is not None and body is draft.response_body:
                    draft.arrivals.add(record.at_ns, len(record.payload))
            return None
        payload = bytes(record.payload)
        if self._partial:
            payload = bytes(self._partial.pop(key, b"")) + payload
        return self._take(record, payload)

    def _hold(self, record: Record, segment: int) -> bool:
        """Note where an exchange has a record; False for one whose head never came, or is written already."""
        held = self._segments.get(record.exchange)
        if held is None:
            if record.kind != Kind.REQUEST_HEAD:
                return False
            held = self._segments[record.exchange] = {}
        size = journal.record_bytes(len(record.payload))
        held[segment] = held.get(segment, 0) + size
        self._needed[segment] += size
        return True

    def _release(self, number: int) -> list[int]:
        """Need no more of an exchange; return the segments that had records of it."""
        held = self._segments.pop(number, {})
        self.released += 1
        for segment, size in held.items():
            self._needed[segment] -= size
            if not self._needed[segment]:
                del self._needed[segment]
        for key in [key for key in self._partial if key[0] == number]:
            del self._partial[key]
        return list(held)

    def _take(self, record: Record, payload: bytes) -> Finished | Dropped | None:
        number = record.exchange
        if record.kind == Kind.REQUEST_HEAD:
            head = journal.decode_request_head(payload)
            arrivals = Arrivals() if self._keeps_arrivals else None
            self._drafts[number] = Draft(number, head, record.at_ns, arrivals=arrivals)
            return None
        if record.kind == Kind.DROPPED:
            self._drafts.pop(number, None)
            return Dropped(number, payload.decode(), self._release(number))
        draft = self._drafts.get(number)
        if draft is None:
            return None
        match record.kind:
            case Kind.REQUEST_END:
                draft.request_trailers = journal.decode_trailers(payload)
                draft.request_ended = True
                draft.request_ended_at_ns = record.at_ns
            case Kind.RESPONSE_HEAD:
                draft.response = journal.decode_response_head(payload)
                draft.response_at_ns = record.at_ns
            case Kind.RESPONSE_END:
                draft.response_trailers = journal.decode_trailers(payload)
                draft.response_ended = True
            case Kind.FAILED:
                return self._finish(draft, *journal.decode_failure(payload))
        # An upstream may answer before it has the whole request; the exchange ends when both have.
        if draft.request_ended and draft.response_ended:
            return self._finish(draft, Outcome.COMPLETE, "")
        return None

    def forget(self, number: int) -> list[int]:
        """Let an exchange go of which a record makes no sense; return the segments that had records of it.

        What else comes of it is ignored.
        """
        self._drafts.pop(number, None)
        return self._release(number)

    def _finish(self, draft: Draft, outcome: Outcome, reason: str) -> Finished:
        del self._drafts[draft.number]
        draft.segments = self._release(draft.number)
        draft.outcome, draft.reason = outcome, reason
        return Finished(draft)

    def give_up(self, outcome: Outcome, reason: str) -> Iterator[Finished]:
        """End every exchange that is under way: the writer is gone and nothing more will come."""
        for draft in list(self._drafts.values()):
            done = draft.request_ended and draft.response_ended
            yield self._finish(draft, Outcome.COMPLETE if done else outcome, "" if done else reason)
        self._partial.clear()
        self._segments.clear()
        self._needed.clear()
        self.released += 1
