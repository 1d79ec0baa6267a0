"""Writers of small segments, and disks that refuse them."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from cassette.journal import Kind
from cassette.segment_reader import SegmentReader
from cassette.segments import SegmentWriter

# = ["small_disk"]


SMALL = 4096


@pytest.fixture
def a_writer(tmp_path: Path) -> Iterator[Callable[..., SegmentWriter]]:
    with contextlib.ExitStack() as stack:

        def make(*, segment_bytes: int = SMALL, overflow_bytes: int = 1 << 20) -> SegmentWriter:
            writer = SegmentWriter(tmp_path, "w1", segment_bytes=segment_bytes, overflow_bytes=overflow_bytes)
            stack.callback(writer.close)
            return writer

        yield make


class Disk:
    """Refuses new segments while it is full."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.full = False
        writev = os.writev

        def maybe(handle: int, buffers: Sequence[Any]) -> int:
            if self.full:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return writev(handle, buffers)

        monkeypatch.setattr(os, "writev", maybe)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


def append_often(writer: SegmentWriter, exchange: int) -> None:
    for _ in range(100):
        writer.append(Kind.RESPONSE_DATA, exchange, 1, b"z" * 500)


def payloads(directory: Path) -> list[bytes]:
    with contextlib.closing(SegmentReader(directory, "w1")) as reader:
        return [bytes(record.payload) for record, _, _ in reader.records()]


def numbered(count: int) -> list[bytes]:
    return [b"%d " % number * (number % 50) for number in range(count)]
