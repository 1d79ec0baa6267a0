"""When the pieces of a response came: `NAME.timing.jsonl`, kept beside the cassette so that this stays pure.

One JSON object per interaction and line, appended after the interaction itself:

    {"id": 0, "head_ns": 412000000, "chunks": [[412100000, 120], [431000000, 96]], "crc32": 2774128903}

`id` is the interaction's in the cassette. Times are nanoseconds from the end of the request to the moment at
which the proxy had the response's head, and each chunk. A chunk's size is in bytes of the body *as the cassette
holds it*: of a response that came compressed, the text that the chunk brought. `crc32` is of that body, so that the
times of an interaction that was edited, or took another's id, are not used; a line may be without it.

The file is a help, not a record: a line that is missing, torn or does not fit its interaction's body costs that
interaction its times and nothing else. Pure; nothing here opens a file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any
from zlib import crc32

from cassette.encodings import content_codings
from cassette.exchange import Exchange
from cassette.incremental import decoded_sizes
from cassette.model import Response

Chunks = Sequence[tuple[int, int]]
"""When each chunk came, in nanoseconds, and how many bytes it had."""


@dataclass(frozen=True, slots=True)
class Timing:
    """The times of one response, from the end of its request on."""

    head_ns: int
    chunks: tuple[tuple[int, int], ...]
    """Times never go back, sizes are above zero."""
    body_crc: int | None = None
    """CRC-32 of the body; None when the line does not say."""

    def fits(self, body: bytes) -> bool:
        """Tell whether the chunks make up this body; if not, one of the two was edited."""
        if sum(size for _, size in self.chunks) != len(body):
            return False
        return self.body_crc is None or self.body_crc == crc32(body)


def timing_path(cassette: Path) -> Path:
    """Return where a cassette's times are kept: `NAME.timing.jsonl` beside `NAME.yaml`."""
    stem = cassette.stem if cassette.suffix in (".yaml", ".yml") else cassette.name
    return cassette.with_name(f"{stem}.timing.jsonl")


def timing_of(
    exchange: Exchange, response: Response, arrivals: Chunks, request_ended_at_ns: int
) -> Timing | None:
    """Return the times of an exchange that was recorded as `response`; None when they do not fit it.

    `arrivals` are the chunks of `exchange.response_body` as they came: monotonic time of the clock that the
    exchange's own times are from, and bytes as they were sent.
    """
    head = exchange.response
    if head is None or exchange.response_at_ns is None:
        return None
    sizes: Sequence[int] | None = [size for _, size in arrivals]
    if response.uncompressed:
        codings = content_codings(value for name, value in head.headers if name.lower() == "content-encoding")
        ends = [0, *accumulate(size for _, size in arrivals)]
        sizes = decoded_sizes((exchange.response_body[start:end] for start, end in pairwise(ends)), codings)
    if sizes is None:
        return None
    head_ns = max(0, exchange.response_at_ns - request_ended_at_ns)
    merged: list[tuple[int, int]] = []
    at_ns = head_ns
    for (arrived_at_ns, _), size in zip(arrivals, sizes, strict=True):
        if size == 0:
            continue
        before, at_ns = at_ns, max(at_ns, arrived_at_ns - request_ended_at_ns)
        if merged and at_ns == before:  # a chunk that was too long for one record of the journal
            merged[-1] = (at_ns, merged[-1][1] + size)
        else:
            merged.append((at_ns, size))
    timing = Timing(head_ns, tuple(merged), crc32(response.body))
    return timing if timing.fits(response.body) else None


def timing_line(id: int, timing: Timing) -> bytes:  # noqa: A002
    """Return the line for the interaction `id`, line feed included."""
    fields: dict[str, object] = {"id": id, "head_ns": timing.head_ns, "chunks": timing.chunks}
    if timing.body_crc is not None:
        fields["crc32"] = timing.body_crc
    return json.dumps(fields, separators=(",", ":")).encode("ascii") + b"\n"


def read_timing(data: bytes) -> Mapping[int, Timing]:
    """Return the times by the interactions' ids; never raises.

    Lines that are no such object are left out. Of two lines for one interaction the later counts.
    """
    found: dict[int, Timing] = {}
    for line in data.split(b"\n"):
        try:
            fields = json.loads(line)
            timing = _timing(fields)
            found[_natural(fields["id"])] = timing
        except (ValueError, KeyError, TypeError, RecursionError):
            continue
    return found


def _timing(fields: Any) -> Timing:
    head_ns = _natural(fields["head_ns"])
    chunks: list[tuple[int, int]] = []
    at_ns = head_ns
    for arrived_at_ns, size in fields["chunks"]:
        at_ns = max(at_ns, _natural(arrived_at_ns))
        if _natural(size):
            chunks.append((at_ns, size))
    body_crc = fields.get("crc32")
    return Timing(head_ns, tuple(chunks), None if body_crc is None else _natural(body_crc))


def _natural(value: Any) -> int:
    if type(value) is not int or value < 0:  # bool is an int too
        raise ValueError(f"not a number of nanoseconds or bytes: {value!r}")
    return value
