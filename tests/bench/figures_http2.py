"""The figures over HTTP/2, where several streams share a connection. They need the load side in Go."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.bench.figures import Bench, saturation
from tests.bench.report import Row, at_most_times, compared, skipped, times

EVENT = 200
"""As in figures.py."""
_NO_GO = "the load side without Go speaks HTTP/1.1 only"


def flat_task(bench: Bench) -> dict[str, Any]:
    """Four streams over two connections, as fast as they can."""
    return {
        "duty": "flath2",
        "connections": 2,
        "streams": 4,
        "size": EVENT,
        "seconds": bench.seconds(3, 1.5),
        "warm_seconds": 0.5,
    }


def ticks_task(bench: Bench) -> dict[str, Any]:
    """Fifty streams over five connections, at the pace of tokens."""
    return {
        "duty": "ticksh2",
        "connections": 5,
        "streams": 50,
        "rate": 20,
        "size": EVENT,
        "seconds": bench.seconds(5, 2),
        "warm_seconds": 1,
    }


def flat_out(bench: Bench) -> Iterator[Row]:
    """How many chunks go through at all."""
    if not bench.load.speaks_http2:
        yield skipped("flath2", _NO_GO)
        return
    direct, ours, theirs = bench.compare("flath2", flat_task(bench))
    rate = "per_second"
    yield compared(
        "flat-out chunks/s over HTTP/2, 4 streams",
        "",
        ours.of(rate),
        theirs.of(rate),
        times(1.5),
        direct=direct.of(rate),
        note=saturation(ours, theirs),
    )
    yield compared("CPU per chunk, proxy process", "us", ours.worker_cpu_us(), theirs.worker_cpu_us())
    yield compared("CPU per chunk, with daemon and scribe", "us", ours.whole_cpu_us(), theirs.whole_cpu_us())


def chunks(bench: Bench) -> Iterator[Row]:
    """How late the events of fifty streams are."""
    if not bench.load.speaks_http2:
        yield skipped("chunksh2", _NO_GO)
        return
    direct, ours, theirs = bench.compare("chunksh2", ticks_task(bench))
    for name in ("p50", "p99"):
        found = f"{name}_ms"
        yield compared(
            f"chunk latency {name} over HTTP/2, 50 streams x 20/s",
            "ms",
            ours.of(found),
            theirs.of(found),
            at_most_times(1.1),
            direct=direct.of(found),
        )
    yield compared("CPU per chunk, proxy process", "us", ours.worker_cpu_us(), theirs.worker_cpu_us())
