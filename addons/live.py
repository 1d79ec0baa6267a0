"""The sessions that a proxy worker serves: what each was told, its journal, and what it counts."""

from __future__ import annotations

import contextlib
import enum
import itertools
import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from addons.access import LOOPBACK, Login
from addons.measures import Measures
from addons.no_proxy import NoProxy
from addons.reverse import Reverse
from addons.routing import ConnectTo, RouterTable, UpstreamProxy, redirect
from cassette.errors import StoreError
from cassette.exchange import Outcome
from cassette.headerfilter import HeaderPolicy
from cassette.journal import Kind, encode_failure
from cassette.matchrules import MatchRules
from cassette.segments import OVERFLOW_BYTES, SegmentWriter

if TYPE_CHECKING:
    from addons.deck_player import DeckPlayer, ReplayCounts

_log = logging.getLogger(__name__)
_MOST_CAUSES = 100
"""Causes of failures that are logged, each once; they have file names in them, so there could be many."""
_LAST_SECONDS = 0.2
"""How long the end of an answer may wait for its disk where it must not get lost; chosen, not measured."""
_MOST_WAITING_BYTES = OVERFLOW_BYTES // 2
"""Past it nothing new begins where failures to record block; chosen, not measured."""


class PortUse(enum.Enum):
    """Who listens on a session's port."""

    ALONE = "alone"
    FIRST = "first"
    """The first of several workers, which has to find out whether somebody else does."""
    JOINS = "joins"
    """One of several workers, after the first."""


@dataclass(frozen=True, slots=True)
class ReplaySpec:
    """How a session answers from its cassette."""

    cassette: Path
    sealed: bool
    """Whether a request that nothing answers is refused, rather than passed on and recorded."""
    refuses_others: bool
    repeat: bool
    factor: float
    """By what recorded times are multiplied; 0 plays at once."""
    compresses: bool
    match: MatchRules
    claims: Path | None = None
    """Where the workers of a session that has several note what they have handed out."""


@dataclass(frozen=True, slots=True)
class SessionSpec:
    """What a worker has to know of a session."""

    name: str
    directory: Path | None
    """Where its journal lies; None when nothing is recorded, in the mode passthrough."""
    port: int
    """0 for a free one."""
    headers: HeaderPolicy
    routers: RouterTable
    max_body: int
    trusted_ca: Path | None = None
    """PEM file of the roots that upstreams are checked against; None for mitmproxy's own."""
    connect_to: tuple[ConnectTo, ...] = ()
    upstream_proxy: UpstreamProxy | None = None
    no_proxy: NoProxy | None = None
    """Who is reached past it; None where it was named for everything."""
    client_cert: Path | None = None
    """PEM file of the certificate and key that upstreams are shown which ask for one."""
    replay: ReplaySpec | None = None
    """None when nothing is replayed."""
    blocks: bool = False
    """Whether traffic that cannot be recorded is stopped rather than passed through."""
    listen: str = LOOPBACK
    """The IP address that clients connect to."""
    port_use: PortUse = PortUse.ALONE
    reverse: tuple[Reverse, ...] = ()
    """Listeners for clients that know no proxy."""
    login: Login | None = None
    """What clients have to know; None for those of an address that only this machine can reach."""
    takes_over: bool = False
    """Whether a worker had it that died: its clients are waiting, so it opens even where the disk refuses."""

    def proxy_for(self, host: str, port: int) -> UpstreamProxy | None:
        """Return the proxy through which this host is reached.

        One that the environment names gives way to its exceptions, and to `connect_to`, which is more precise.
        """
        if self.upstream_proxy is None or self.no_proxy is None:
            return self.upstream_proxy
        is_direct = self.no_proxy.covers(host, port) or redirect(self.connect_to, host, port) is not None
        return None if is_direct else self.upstream_proxy


@dataclass(slots=True)
class Traffic:
    """What a worker counts of a session, for `status` and `stop`."""

    exchanges: int = 0
    """Begun with a router and being recorded, or meant to be."""
    passed: int = 0
    """Passed through unrecorded: requests to other hosts or paths, and all in the mode passthrough."""
    tunnels: int = 0
    """Connections to other hosts, not decrypted."""
    websockets: int = 0
    too_long: int = 0
    """Bodies past max_body."""
    refused: int = 0
    """Answered by the proxy itself: upstream unreachable, certificate refused, malformed request."""
    failed: int = 0
    """Not recorded, or not wholly, because the journal or the recorder failed."""
    blocked: int = 0
    """Requests that were not passed on because they could not have been recorded."""
    cut: int = 0
    """In flight when the deadline of stop came."""

    def to_json(self) -> dict[str, int]:
        """Return plain JSON types."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Phase:
    """What a session does from one change of its mode to the next. A flow ends in the phase that it began in."""

    spec: SessionSpec
    player: DeckPlayer | None = None
    """Answers from the cassette, in the modes that replay."""

    @property
    def records(self) -> bool:
        """Whether what goes to a router is recorded."""
        return self.spec.directory is not None

    @property
    def is_sealed(self) -> bool:
        """Whether nothing may reach the routers."""
        return self.player is not None and self.player.sealed


@dataclass(frozen=True, slots=True)
class InFlight:
    """A flow that is under way, whose connection it came on, and in which phase it began."""

    client_id: str
    phase: Phase
    exchange: LiveExchange | None = None
    """None when it is not recorded."""


class LiveSession:
    """One session of a running worker."""

    def __init__(self, spec: SessionSpec, writer: str, player: DeckPlayer | None = None) -> None:
        """Begin the journal under this writer's name; raises StoreError."""
        self._phase = Phase(spec, player)
        self.replayed: ReplayCounts | None = player.counted if player is not None else None
        """What was replayed so far, in this phase and those before; None when none of them replays."""
        self.port = spec.port
        self.reverse: dict[int, Reverse] = {}
        """By the port that it listens on."""
        self.closing = False
        """Whether it takes no more connections."""
        self.traffic = Traffic()
        self.journal: SegmentWriter | None = None
        self._writer = writer
        self.begin_journal(spec)
        self.in_flight: dict[str, InFlight] = {}
        """The flows that are under way, recorded or not, by flow id."""
        self.tunnels: set[str] = set()
        """The client connections that became tunnels or WebSockets, by id."""
        self.numbers = itertools.count(1)
        self.failure = ""
        """Why something was not recorded, the last time."""
        self._logged: set[str] = set()

    @property
    def phase(self) -> Phase:
        """What holds for what begins now."""
        return self._phase

    @phase.setter
    def phase(self, phase: Phase) -> None:
        self._phase = phase
        if phase.player is not None:
            self.replayed = phase.player.counted

    @property
    def spec(self) -> SessionSpec:
        """What it was told."""
        return self._phase.spec

    @property
    def player(self) -> DeckPlayer | None:
        """Answers what begins now, in the modes that replay."""
        return self._phase.player

    def begin_journal(self, spec: SessionSpec) -> None:
        """Begin the journal that a phase needs, unless there is one: all phases share it; raises StoreError."""
        if self.journal is None and spec.directory is not None:
            self.journal = SegmentWriter(spec.directory, self._writer, takes_over=spec.takes_over)

    def phase_for(self, client_id: str) -> Phase:
        """Return the phase that a connection to an upstream is made in, for a client connection.

        Where nothing may be connected any more, that is the one of an exchange which began before and may.
        """
        if self.phase.is_sealed:
            for flight in self.in_flight.values():
                if flight.client_id == client_id and not flight.phase.is_sealed:
                    return flight.phase
        return self.phase

    def recording(self) -> list[str]:
        """Return the flows whose recording is under way, by id."""
        return [
            flow_id
            for flow_id, flight in self.in_flight.items()
            if flight.exchange is not None and not flight.exchange.closed
        ]

    def failed(self, where: str, error: Exception) -> None:
        """Count a failure to record; log it once for each cause."""
        self.traffic.failed += 1
        # A StoreError names a file and the system's reason; another error's text might quote traffic.
        reason = str(error) if isinstance(error, StoreError) else type(error).__name__
        self._log_once("record.failed", where, reason)

    def blocked(self, why: str) -> None:
        """Count a request that is not passed on; log it once for each cause."""
        self.traffic.blocked += 1
        self._log_once("record.blocked", "journal", why)

    def _log_once(self, what: str, where: str, reason: str) -> None:
        self.failure = reason
        cause = f"{what} {where} {reason}"
        if cause not in self._logged and len(self._logged) < _MOST_CAUSES:
            self._logged.add(cause)
            _log.error("%s session=%s where=%s reason=%s", what, self.spec.name, where, reason)

    def cannot_record(self) -> str:
        """Return why what begins now might not be recorded; nothing when it will be."""
        if self.journal is None:
            return ""
        if self.journal.error is not None:
            return str(self.journal.error)
        return "the disk is too slow" if self.journal.waiting_bytes > _MOST_WAITING_BYTES else ""

    def close(self) -> None:
        """Close the journal, which waits for the disk, and count what that did not take."""
        if self.journal is not None:
            self.journal.close()
            if self.journal.lost_exchanges:
                self.traffic.failed += len(self.journal.lost_exchanges)
                self.failure = str(self.journal.error)
            self.journal = None

    def status(self) -> dict[str, Any]:
        """Return the counters and the journal's state in plain JSON types."""
        counted = self.traffic.to_json() | {"in_flight": len(self.in_flight), "failure": self.failure}
        if self.replayed is not None:
            counted |= self.replayed.to_json()
        if self.player is not None:
            counted["unused"] = self.player.unused
        if self.journal is None:
            return counted
        return counted | {
            "journal_bytes": self.journal.position,
            "waiting_bytes": self.journal.waiting_bytes,
            "problem": str(self.journal.error or ""),
        }


@dataclass(slots=True)
class LiveExchange:
    """One exchange that is being recorded. Once `closed`, nothing more of it goes to the journal."""

    session: LiveSession
    journal: SegmentWriter
    number: int
    closed: bool = False
    request_ended: bool = False
    response_ended: bool = False
    being_cut: bool = False
    request_bytes: int = 0
    """Of the request's body, so far."""
    response_bytes: int = 0
    """Of the response's body, so far, as they came: content-encoded."""
    held_form: bytearray | None = None
    """An urlencoded request body, held until it is whole and its credentials can be redacted."""
    break_off: Callable[[], None] | None = None
    """Ends the client's connection, where the client must not have what is not recorded."""
    router: str = ""
    """The pattern that covers its host."""
    measures: Measures | None = None
    """Where its end is counted, once; None when it is not, or was."""
    began_ns: int = field(default_factory=time.monotonic_ns)

    def put(self, kind: Kind, payload: bytes = b"") -> None:
        """Store one event; a failure ends the recording of this exchange, and of this one only."""
        if self.closed:
            return
        try:
            self.journal.append(kind, self.number, time.monotonic_ns(), payload)
            if self.break_off is not None and self.journal.is_refused(self.number):
                self._refuse()
        except StoreError as exc:
            self._lost("journal", exc)

    def _refuse(self) -> None:
        """Raise StoreError: something waits in memory for a disk that may never take it."""
        failure = encode_failure(Outcome.CUT, "it could not be recorded")
        self.journal.append(Kind.FAILED, self.number, time.monotonic_ns(), failure)
        raise self.journal.error or StoreError("the disk is too slow")

    def confirm(self) -> None:
        """Break off an answer, where that is asked for, whose last bytes are about to go out and that is not stored."""
        if self.closed or self.break_off is None:
            return
        try:
            if not self.journal.await_stored(self.number, _LAST_SECONDS):
                self._refuse()
        except StoreError as exc:
            self._lost("journal", exc)

    def _lost(self, where: str, error: Exception) -> None:
        self.closed = True
        self.ended("failed")
        self.session.failed(where, error)
        if self.break_off is not None:
            self.break_off()

    def answered(self) -> None:
        """Count that the response began."""
        if self.measures is not None:
            self.measures.answered(self.router, (time.monotonic_ns() - self.began_ns) / 1e9)

    def ended(self, outcome: str) -> None:
        """Count how it ended; the first word holds."""
        if self.measures is not None:
            self.measures.ended(self.router, outcome, self.request_bytes, self.response_bytes)
            self.measures = None

    def put_data(self, kind: Kind, data: bytes) -> None:
        """Store a piece of a body, or give the exchange up when that body gets too long."""
        if kind is Kind.REQUEST_DATA:
            self.request_bytes += len(data)
        else:
            self.response_bytes += len(data)
        if max(self.request_bytes, self.response_bytes) > self.session.spec.max_body:
            if not self.closed:
                self.session.traffic.too_long += 1
                _log.warning("record.too_long session=%s exchange=%d", self.session.spec.name, self.number)
                self.end(Kind.DROPPED, b"longer than max_body")
            return
        self.put(kind, data)

    def end(self, kind: Kind, payload: bytes = b"") -> None:
        """Store the last event."""
        self.put(kind, payload)
        self.closed = True
        if kind is Kind.DROPPED:
            self.ended("dropped")

    def give_up(self, where: str, error: Exception) -> None:
        """Record no more of this exchange after an error of our own. Never raises."""
        if self.closed:
            self.session.failed(where, error)
            return
        with contextlib.suppress(Exception):  # whatever it was may happen again
            self.journal.append(Kind.DROPPED, self.number, time.monotonic_ns(), b"the recorder failed")
        self._lost(where, error)
