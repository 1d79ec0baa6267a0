"""Sessions on disk without a proxy: a journal that a test fills, and what the cassette must hold in the end."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cassette import codec, journal, store
from cassette.exchange import Exchange, Outcome, RequestHead, ResponseHead
from cassette.files import make_private_folder
from cassette.headerfilter import HeaderPolicy, HeaderRules
from cassette.journal import Kind
from cassette.model import Cassette, Layout
from cassette.recording import Recording
from cassette.scribe import SessionScribe
from cassette.segments import SEGMENT_BYTES, SegmentWriter
from cassette.wire import HostField, WireRules, to_interaction

KEEP = HeaderPolicy(HeaderRules(keep=("accept", "content-type")), HeaderRules(keep=("content-type",)))
RULES = WireRules(HostField.EMPTY, KEEP, 256 << 20)


@dataclass(frozen=True)
class Take:
    """One exchange for a journal: a POST whose answer comes in these pieces."""

    number: int
    pieces: tuple[bytes, ...] = (b"hello",)
    request: bytes = b'{"stream": true}'
    content_length: int | None = None
    outcome: Outcome = Outcome.COMPLETE
    """Anything but COMPLETE ends in a FAILED record."""
    reason: str = ""

    @property
    def exchange(self) -> Exchange:
        """What the scribe has to make of it."""
        headers = [("Content-Type", "text/plain")]
        if self.content_length is not None:
            headers.append(("Content-Length", str(self.content_length)))
        return Exchange(
            RequestHead(
                "POST", f"https://api.example.com/v1/{self.number}", "HTTP/1.1", (("Accept", "*/*"),)
            ),
            self.request,
            (),
            ResponseHead("HTTP/1.1", 200, "OK", tuple(headers)),
            b"".join(self.pieces),
            (),
            self.number * 1000,
            self.number * 1000 + 5_000_000,
            self.outcome,
            self.reason,
        )

    def records(self, *, ended: bool = True) -> Iterator[tuple[Kind, int, int, bytes]]:
        """Yield the arguments for `SegmentWriter.append`, in order; without its end when not `ended`."""
        exchange = self.exchange
        assert exchange.response is not None
        assert exchange.response_at_ns is not None
        number, began, answered = self.number, exchange.started_at_ns, exchange.response_at_ns
        yield Kind.REQUEST_HEAD, number, began, journal.encode_request_head(exchange.request)
        if self.request:
            yield Kind.REQUEST_DATA, number, began, self.request
        yield Kind.REQUEST_END, number, began, b""
        yield Kind.RESPONSE_HEAD, number, answered, journal.encode_response_head(exchange.response)
        for piece in self.pieces:
            yield Kind.RESPONSE_DATA, number, answered, piece
        if not ended:
            return
        if self.outcome is Outcome.COMPLETE:
            yield Kind.RESPONSE_END, number, answered, b""
        else:
            yield Kind.FAILED, number, answered, journal.encode_failure(self.outcome, self.reason)


def put(writer: SegmentWriter, takes: Iterable[Take], *, ended: bool = True) -> None:
    """Write exchanges one after the other."""
    for take in takes:
        for record in take.records(ended=ended):
            writer.append(*record)


def cassette_of(takes: Iterable[Take], layout: Layout = Layout.CHARM) -> bytes:
    """Return the file that an undisturbed recording of these exchanges is, made without a journal or a store."""
    interactions = tuple(to_interaction(take.exchange, RULES, id=i) for i, take in enumerate(takes))
    return codec.dumps(Cassette(interactions, layout=layout))


class Session:
    """A session's folder and cassette, as the daemon makes them."""

    def __init__(self, folder: Path, *, layout: Layout = Layout.CHARM, name: str = "chat") -> None:
        self.journals = folder / "journals"
        self.directory = self.journals / f"{name}-1"
        self.cassette = folder / "cassettes" / f"{name}.yaml"
        self.interrupted = folder / "cassettes" / f"{name}.interrupted.yaml"
        self.recording = Recording(name, self.cassette, layout, RULES.host_field, KEEP, RULES.max_body)
        make_private_folder(self.directory)
        self.recording.save(self.directory)
        store.create(self.cassette, layout, append=True, overwrite=False)

    def writer(self, name: str = "w1", *, segment_bytes: int = SEGMENT_BYTES) -> SegmentWriter:
        """Begin a journal."""
        return SegmentWriter(self.directory, name, segment_bytes=segment_bytes)

    def write(self, *takes: Take, name: str = "w1", ended: bool = True, segment_bytes: int = 1 << 16) -> None:
        """Write a whole journal and end its writer."""
        with contextlib.closing(self.writer(name, segment_bytes=segment_bytes)) as writer:
            put(writer, takes, ended=ended)

    def scribe(self) -> SessionScribe:
        """Take up the work on it."""
        return SessionScribe(self.directory)

    def segments(self) -> list[str]:
        """Return the names of the segments that are left."""
        return sorted(path.name for path in self.directory.glob("*.seg"))


def read_all(scribe: SessionScribe) -> None:
    """Let a scribe work until there is nothing to read."""
    while scribe.step():
        pass


def abandon(scribe: SessionScribe) -> None:
    """Do what a kill does to a scribe: its files are closed, and nothing else happens."""
    scribe.close()
