"""What must not grow with what was recorded before, and how fast cassettes are read and written. wiretape alone."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from cassette import Cassette, Interaction, dumps, loads
from tests.bench.contest import Recording, Turn, recording, take_turn
from tests.bench.figures import Bench
from tests.bench.machine import memory_mb, on_cores
from tests.bench.opening import recorded
from tests.bench.report import Row, at_least, at_most_times, compared, single
from tests.bench.soak import on_disk
from tests.support.shared import corpus_cassettes
from tests.support.tapes import interactions_of, numbered

_FEW = 10
_MANY = 100_000
_MANY_QUICK = 20_000
_ENOUGH_SECONDS = 600.0
"""When the traffic before the looks takes longer, it ends there, and the rows say at which number."""
_BATCH = 1_000
_WARM = 10_000
_FRESH, _LOOKS = 3, 100
"""In each turn so many new sessions, and in each of them so many looks: most of what a look finds is the rest of the
scribe's pause, which is random."""
_PAUSE_SECONDS = 0.1
"""The scribe's longest pause."""
_STATUS_LOOKS = 40
_PATIENCE_SECONDS = 30.0
_CASSETTE_BYTES = 20_000_000
_RUNS = 15
_STEPS, _STEP = 10, 400
"""Over so many interactions the memory is looked at: some 2,000 fill a segment of the journal, and with each one come
and go 4 MB of the worker's."""


@dataclass(frozen=True, slots=True)
class Look:
    """What one more interaction costs in a session, and what of its journal is there."""

    appended_ms: float
    """From the end of the answer to the interaction in the cassette's file; most of it is the scribe's pause."""
    worker_us: float
    """CPU of the proxy process for each of the next 2,000."""
    helper_us: float
    """CPU of daemon and scribe for each of them."""
    journal_mb: float
    """Segments. The ledger is no part of it: 30 bytes for each interaction until the session ends."""


def growing(bench: Bench) -> Iterator[Row]:
    """Compare what the 100,000th interaction costs with what the tenth one does.

    In turns, in sessions of the same processes, which are warm: what a machine does to a figure meanwhile is more than
    what is looked for.
    """
    with recording(bench.load, bench.cores) as many:
        _with_another(bench, many, "warm", lambda warm: _send(bench, warm, _WARM))
        # Its journal's segments are in memory, too, once they have been written to.
        _send(bench, many, number := _WARM)
        memory = _memory_mb(bench, many)
        until = time.monotonic() + _ENOUGH_SECONDS
        last = _MANY_QUICK if bench.quick else _MANY
        while number < last and time.monotonic() < until:
            _send(bench, many, batch := min(5_000, last - number))
            number += batch
        memory_then = _memory_mb(bench, many)
        looks: list[tuple[Look, Look]] = []

        def look_at_both(few: Recording) -> None:
            _send(bench, few, _FEW)
            looks.append(_look(bench, many, few))

        for fresh in range(bench.rounds * _FRESH):
            _with_another(bench, many, f"few-{fresh}", look_at_both)
        with recording(bench.load, bench.cores) as few:
            _send(bench, few, _FEW)
            status_ms = _status_ms(many, few)
    bench.raw["nth"] = {
        "number": number,
        "looks": [{"many": asdict(one), "few": asdict(other)} for one, other in looks],
        "memory_mb": [memory, memory_then],
        "status_ms": status_ms,
    }
    what = f"interaction {number:,}"
    against, warm = f"interaction {_FEW}", f"interaction {_WARM:,}"
    costs: tuple[tuple[str, str, Callable[[Look], float]], ...] = (
        ("until it is in the cassette", "ms", lambda look: look.appended_ms),
        ("CPU, proxy process", "us", lambda look: look.worker_us),
        ("CPU, daemon and scribe", "us", lambda look: look.helper_us),
        ("journal on the disk", "MB", lambda look: look.journal_mb),
    )
    for cost, unit, of in costs:
        late, early = [of(one) for one, _ in looks], [of(other) for _, other in looks]
        yield compared(f"{what}: {cost}", unit, late, early, at_most_times(1.1), against=against)
    memory_row = f"{what}: memory of worker and scribe"
    yield compared(memory_row, "MB", [memory_then], [memory], at_most_times(1.1), against=warm)
    yield compared(f"{what}: `wiretape status`", "ms", *status_ms, at_most_times(1.1), against=against)


def _with_another(bench: Bench, ours: Recording, name: str, work: Callable[[Recording], object]) -> None:
    """Do something with another session of the same daemon."""
    options = (f"--host=localhost:{bench.load.port}", f"--upstream-ca={bench.load.roots}")
    session = ours.wiretape.start(name, *options)
    work(
        replace(
            ours,
            proxy=session.proxy,
            roots=session.bundle,
            cassette=session.cassette,
            session_name=name,
        )
    )
    ours.wiretape.stop(name)


def _memory_mb(bench: Bench, ours: Recording) -> float:
    """Return the memory of worker and scribe, shared pages in part."""
    pids = [*ours.workers, *ours.helpers[1:]]
    memory: list[float] = []
    for _ in range(_STEPS):
        _send(bench, ours, _STEP)
        memory.append(sum(memory_mb(pid, "Pss") for pid in pids))
    return statistics.median(memory)


def _status_ms(many: Recording, few: Recording) -> tuple[list[float], list[float]]:
    """Return how long `wiretape status` takes in each of two daemons, asked by turns."""
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(_STATUS_LOOKS):
        for one, found in zip((many, few), taken, strict=True):
            began = time.perf_counter()
            one.wiretape.run("status")
            found.append((time.perf_counter() - began) * 1e3)
    return taken


def _send(bench: Bench, ours: Recording, count: int) -> Turn:
    task = {"duty": "requests", "connections": min(16, count), "size": 1024, "count": count}
    return take_turn(bench.load, ours, task)


def _look(bench: Bench, many: Recording, few: Recording) -> tuple[Look, Look]:
    """Look at two sessions by turns, each of them first as often as the other."""
    both = (many, few)
    appended: tuple[list[float], ...] = ([], [])
    journal: tuple[list[int], ...] = ([], [])
    turns: tuple[list[Turn], ...] = ([], [])
    for number in random.sample(range(_LOOKS), _LOOKS):
        for which in (0, 1) if number % 2 else (1, 0):
            # From any moment of the scribe's pause: one after the other without this, they meet the same one.
            time.sleep(number / _LOOKS * _PAUSE_SECONDS)
            one = both[which]
            appended[which].append(_append_seconds(bench, one))
            segments = one.wiretape.home.glob(f"journals/{one.session_name}-*/*.seg")
            journal[which].append(sum(on_disk(path) for path in segments))
    for which in (0, 1, 1, 0):
        turns[which].append(_send(bench, both[which], _BATCH))
    first, second = (
        Look(
            statistics.mean(waited) * 1e3,
            statistics.mean(turn.worker_cpu for turn in taken) / _BATCH * 1e6,
            statistics.mean(turn.helper_cpu for turn in taken) / _BATCH * 1e6,
            min(sizes) / 1e6,  # when no segment is being made or deleted
        )
        for waited, taken, sizes in zip(appended, turns, journal, strict=True)
    )
    return first, second


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
