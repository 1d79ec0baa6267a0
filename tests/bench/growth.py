"""What must not grow with what was recorded before, and how fast cassettes are read and written. wiretape alone."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cassette import Cassette, Interaction, dumps, loads
from tests.bench.contest import Recording, recording, take_turn
from tests.bench.figures import Bench
from tests.bench.machine import memory_mb, on_cores
from tests.bench.opening import recorded
from tests.bench.report import Row, at_least, at_most_times, compared, single
from tests.bench.soak import on_disk
from tests.support.shared import corpus_cassettes
from tests.support.tapes import interactions_of, numbered

_EARLY = 10
_LATE = 100_000
_LATE_QUICK = 4_000
_ENOUGH_SECONDS = 600.0
"""When the traffic before the late look takes longer, it ends there, and the row says at which number."""
_BATCH = 2_000
_LOOKS = 15
_PATIENCE_SECONDS = 30.0
_CASSETTE_BYTES = 20_000_000
_RUNS = 3


@dataclass(frozen=True, slots=True)
class Look:
    """What one more interaction costs, and what is there, at some number of them."""

    number: int
    appended_ms: float
    """From the end of the answer to the interaction in the cassette's file; most of it is the scribe's pause."""
    worker_us: float
    """CPU of the proxy process for each of the next 2,000."""
    helper_us: float
    """CPU of daemon and scribe for each of them."""
    journal_mb: float
    memory_mb: float
    """Worker and scribe; shared pages in part."""
    status_ms: float


def growing(bench: Bench) -> Iterator[Row]:
    """Compare the costs at the tenth interaction with those at the 100,000th."""
    with recording(bench.load, bench.cores) as ours:
        _send(bench, ours, _EARLY)
        early = _look(bench, ours, _EARLY)
        number = _EARLY + _LOOKS + _BATCH
        until = time.monotonic() + _ENOUGH_SECONDS
        last = _LATE_QUICK if bench.quick else _LATE
        while number < last and time.monotonic() < until:
            _send(bench, ours, batch := min(5_000, last - number))
            number += batch
        late = _look(bench, ours, number)
    bench.raw["nth"] = {"early": _plain(early), "late": _plain(late)}
    costs: tuple[tuple[str, str, Callable[[Look], float]], ...] = (
        ("until it is in the cassette", "ms", lambda look: look.appended_ms),
        ("CPU, proxy process", "us", lambda look: look.worker_us),
        ("CPU, daemon and scribe", "us", lambda look: look.helper_us),
        ("journal on the disk", "MB", lambda look: look.journal_mb),
        ("memory of worker and scribe", "MB", lambda look: look.memory_mb),
        ("`wiretape status`", "ms", lambda look: look.status_ms),
    )
    for what, unit, of in costs:
        figure = f"interaction {late.number:,}: {what}"
        yield compared(
            figure, unit, [of(late)], [of(early)], at_most_times(1.1), against=f"interaction {_EARLY}"
        )


def _plain(look: Look) -> dict[str, float]:
    return {name: getattr(look, name) for name in Look.__slots__}


def _send(bench: Bench, ours: Recording, count: int) -> Any:
    task = {"duty": "requests", "connections": min(16, count), "size": 1024, "count": count}
    return take_turn(bench.load, ours, task)


def _look(bench: Bench, ours: Recording, number: int) -> Look:
    appended = statistics.median(_append_seconds(bench, ours) for _ in range(_LOOKS))
    turn = _send(bench, ours, _BATCH)
    pids = [*ours.workers, *(pid for pid in ours.helpers[1:])]
    return Look(
        number,
        appended * 1e3,
        turn.worker_cpu / _BATCH * 1e6,
        turn.helper_cpu / _BATCH * 1e6,
        sum(on_disk(path) for path in ours.wiretape.home.glob("journals/*/*")) / 1e6,
        sum(memory_mb(pid, "Pss") for pid in pids),
        _best(lambda: ours.wiretape.run("status"), 20, time.perf_counter) * 1e3,
    )


def _append_seconds(bench: Bench, ours: Recording) -> float:
    """Return how long after its answer an interaction is in the file."""
    task = {"duty": "requests", "connections": 1, "size": 1024, "count": 1}
    before = ours.cassette.stat().st_size
    bench.load.run({**task, "proxy": ours.proxy, "roots": str(ours.roots)})
    ended = time.monotonic()
    while ours.cassette.stat().st_size == before:
        if time.monotonic() - ended > _PATIENCE_SECONDS:
            raise RuntimeError(f"an interaction is not in {ours.cassette.name} after {_PATIENCE_SECONDS} s")
        time.sleep(0.0005)
    return time.monotonic() - ended


def cassettes(bench: Bench) -> Iterator[Row]:
    """Read and write a cassette of 20 MB: real ones, again and again, or made ones where there are none."""
    tape = _tape(_CASSETTE_BYTES // 10 if bench.quick else _CASSETTE_BYTES)
    with on_cores(bench.cores.proxy):
        text = dumps(tape)
        size = len(text) / 1e6
        load_s = _best(lambda: loads(text), _RUNS, time.process_time)
        dump_s = _best(lambda: dumps(tape), _RUNS, time.process_time)
    what = f"{size:.0f} MB, {len(tape.interactions):,} interactions"
    yield single(f"cassette.loads, {what}", "MB/s", [size / load_s], at_least(40, "MB/s"))
    yield single(f"cassette.dumps, {what}", "MB/s", [size / dump_s], at_least(60, "MB/s"))


def _tape(size: int) -> Cassette:
    pattern: list[Interaction] = interactions_of(
        Path(path) for path in corpus_cassettes() if path.stat().st_size < size
    ) or [recorded(number) for number in range(50)]
    each = len(dumps(Cassette(numbered(pattern))))
    return Cassette(numbered(pattern * max(1, size // each)))


def _best(work: Callable[[], object], runs: int, clock: Callable[[], float]) -> float:
    """Return the shortest time of some work, in seconds: others disturb in one direction only."""
    taken = []
    for _ in range(runs):
        began = clock()
        work()
        taken.append(clock() - began)
    return min(taken)
