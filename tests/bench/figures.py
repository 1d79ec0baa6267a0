"""The figures that are taken against mitmdump: what is asked of each, and what it should reach."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.bench.contest import (
    Contestant,
    Direct,
    LoadSide,
    Mitmdump,
    Recording,
    Series,
    interleave,
    mitmdump,
    recording,
    take_turn,
)
from tests.bench.machine import Cores, memory_mb
from tests.bench.quota import limited
from tests.bench.report import Row, at_most, at_most_times, compared, single, skipped, times

_EVENT = 200
"""Bytes of an event: what a token takes in the streams of the usual providers."""
_GIGABYTE = 1 << 30
_ENOUGH_CORES = 3
_PART = 0.35
"""Of a core, for a worker; two of them, the scribe and the load side have room on two cores. Chosen, not measured."""
_BUSY = 0.9
"""The part of a core above which it counts as taken; chosen, not measured."""


@dataclass(slots=True)
class Bench:
    """What every figure needs."""

    load: LoadSide
    cores: Cores
    rounds: int
    quick: bool
    raw: dict[str, Any] = field(default_factory=dict)
    """Every turn of every figure, for the file."""

    def seconds(self, usual: float, quick: float) -> float:
        """Choose how long to measure."""
        return quick if self.quick else usual

    @contextlib.contextmanager
    def contestants(self, *, stores: bool = True) -> Iterator[tuple[Direct, Recording, Mitmdump]]:
        """Start everybody."""
        with (
            recording(self.load, self.cores) as ours,
            mitmdump(self.load, self.cores, stores=stores) as theirs,
        ):
            yield Direct(self.load.roots), ours, theirs

    def take_turns(self, name: str, task: Mapping[str, Any], *contestants: Contestant) -> dict[str, Series]:
        """Measure everybody in turns."""
        series = interleave(self.load, contestants, task, self.rounds)
        self.raw[name] = {who: [_plain(turn) for turn in one.turns] for who, one in series.items()}
        return series

    def compare(self, name: str, task: Mapping[str, Any]) -> tuple[Series, Series, Series]:
        """Start everybody and measure in turns; return the direct way, wiretape, mitmdump."""
        with self.contestants() as everybody:
            series = self.take_turns(name, task, *everybody)
        return series["direct"], series["wiretape"], series["mitmdump"]


def _plain(turn: Any) -> dict[str, Any]:
    return {
        "found": dict(turn.found),
        "seconds": round(turn.seconds, 3),
        "worker_cpu": round(turn.worker_cpu, 3),
        "helper_cpu": round(turn.helper_cpu, 3),
        "load_cpu": round(turn.load_cpu, 3),
    }


def saturation(ours: Series, theirs: Series) -> str:
    """Return a note where something else than the proxy was the limit; both have to be busy all the time."""
    if max(ours.load_share(), theirs.load_share()) > _BUSY:
        return "the load side was busy all the time: it may have been the limit"
    shares = (ours.share(), theirs.share())
    if min(shares) > _BUSY:
        return ""
    return (
        f"other work was on the core: wiretape had {shares[0]:.0%} of it, mitmdump {shares[1]:.0%};"
        " what they spent of CPU is the surer ratio"
    )


def _requests_task(bench: Bench) -> dict[str, Any]:
    return {
        "duty": "requests",
        "connections": 16,
        "size": 1024,
        "seconds": bench.seconds(4, 1.5),
        "warm_seconds": 0.5,
    }


def requests(bench: Bench) -> Iterator[Row]:
    """Short answers over connections that are kept."""
    direct, ours, theirs = bench.compare("rps", _requests_task(bench))
    rate = "per_second"
    yield compared(
        "requests/s, 16 connections, 1 KB",
        "",
        ours.of(rate),
        theirs.of(rate),
        times(2.0),
        direct=direct.of(rate),
        note=saturation(ours, theirs),
    )
    yield compared(
        "CPU per request, proxy process",
        "us",
        ours.worker_cpu_us(),
        theirs.worker_cpu_us(),
        at_most_times(0.5),
    )
    yield compared(
        "CPU per request, with daemon and scribe", "us", ours.whole_cpu_us(), theirs.whole_cpu_us()
    )


def first_byte(bench: Bench) -> Iterator[Row]:
    """How soon a stream begins, one request at a time."""
    task = {"duty": "first", "count": 100 if bench.quick else 400, "size": _EVENT}
    direct, ours, theirs = bench.compare("ttfb", task)
    yield compared(
        "first byte of a stream, median",
        "ms",
        ours.of("p50_ms"),
        theirs.of("p50_ms"),
        at_most_times(0.75),
        direct=direct.of("p50_ms"),
    )


def _ticks_task(streams: int, seconds: float) -> dict[str, Any]:
    return {
        "duty": "ticks",
        "connections": streams,
        "rate": 20,
        "size": _EVENT,
        "seconds": seconds,
        "warm_seconds": 1,
    }


def chunks(bench: Bench) -> Iterator[Row]:
    """How late the events of fifty streams are while all of them flow."""
    direct, ours, theirs = bench.compare("chunks", _ticks_task(50, bench.seconds(5, 2)))
    for name, targets in (("p50", (at_most_times(1.1),)), ("p99", (at_most_times(1.1), at_most(1, "ms")))):
        found = f"{name}_ms"
        yield compared(
            f"chunk latency {name}, 50 streams x 20/s",
            "ms",
            ours.of(found),
            theirs.of(found),
            *targets,
            direct=direct.of(found),
        )


def many_streams(bench: Bench) -> Iterator[Row]:
    """The same with 300."""
    direct, ours, theirs = bench.compare("streams300", _ticks_task(300, bench.seconds(5, 4)))
    rows = (
        ("p50", "p50", ()),
        ("p99", "p99", (at_most(5, "ms"),)),
        ("p99_with_ends", "p99 with their ends", ()),
    )
    for key, name, targets in rows:
        found = f"{key}_ms"
        yield compared(
            f"chunk latency {name}, 300 streams x 20/s",
            "ms",
            ours.of(found),
            theirs.of(found),
            *targets,
            direct=direct.of(found),
        )


def _flat_task(bench: Bench) -> dict[str, Any]:
    return {
        "duty": "flat",
        "connections": 4,
        "size": _EVENT,
        "seconds": bench.seconds(3, 1.5),
        "warm_seconds": 0.5,
    }


def flat_out(bench: Bench) -> Iterator[Row]:
    """How many chunks go through at all."""
    direct, ours, theirs = bench.compare("flat", _flat_task(bench))
    rate = "per_second"
    yield compared(
        "flat-out chunks/s, 4 streams",
        "",
        ours.of(rate),
        theirs.of(rate),
        times(1.5),
        direct=direct.of(rate),
        note=saturation(ours, theirs),
    )
    yield compared("CPU per chunk, proxy process", "us", ours.worker_cpu_us(), theirs.worker_cpu_us())
    yield compared("CPU per chunk, with daemon and scribe", "us", ours.whole_cpu_us(), theirs.whole_cpu_us())


def connections(bench: Bench) -> Iterator[Row]:
    """CONNECT, handshake, one request, again and again."""
    task = {"duty": "connects", "connections": 8, "seconds": bench.seconds(4, 2)}
    direct, ours, theirs = bench.compare("connects", task)
    rate = "per_second"
    yield compared(
        "new connections/s with handshake and a request",
        "",
        ours.of(rate),
        theirs.of(rate),
        times(1.2),
        direct=direct.of(rate),
        note=saturation(ours, theirs),
    )
    yield compared("CPU per connection, proxy process", "us", ours.worker_cpu_us(), theirs.worker_cpu_us())


def workers(bench: Bench) -> Iterator[Row]:
    """Two workers against one.

    Where they would have to share two cores with the load side, each gets a part of a core, if the kernel lets us: so
    much that all the others have enough.
    """
    everywhere = Cores(*[bench.cores.proxy | bench.cores.load | bench.cores.helpers] * 3)
    with contextlib.ExitStack() as stack:
        one = stack.enter_context(recording(bench.load, everywhere))
        two = stack.enter_context(recording(bench.load, everywhere, processes=2))
        one.name, two.name = "one", "two"
        if len(everywhere.proxy) > _ENOUGH_CORES:
            yield from _scaling(bench, one, two, "")
            return
        note = "workers, scribe and load side share the cores: no limit of the workers'"
        yield from _scaling(bench, one, two, note, has_target=False)
        try:
            stack.enter_context(limited([*one.workers, *two.workers], _PART))
        except OSError as exc:
            yield skipped("two workers, each with a part of a core", f"the kernel does not limit them: {exc}")
            return
        yield from _scaling(bench, one, two, f"each worker has {_PART:.0%} of a core, kept by the kernel")


def _scaling(
    bench: Bench, one: Recording, two: Recording, note: str, *, has_target: bool = True
) -> Iterator[Row]:
    for name, task in (("requests/s", _requests_task(bench)), ("flat-out chunks/s", _flat_task(bench))):
        series = bench.take_turns(f"workers {name} {note}".strip(), task, one, two)
        rate = "per_second"
        yield compared(
            f"two workers, {name}",
            "",
            series["two"].of(rate),
            series["one"].of(rate),
            *([times(1.6)] if has_target else []),
            note=note,
            against="one worker",
        )


def gigabyte(bench: Bench) -> Iterator[Row]:
    """One long body: memory and throughput."""
    size = 320 << 20 if bench.quick else _GIGABYTE  # longer than max_body either way
    task = {"duty": "bulk", "size": size}
    with bench.contestants(stores=False) as everybody:
        ours = everybody[1]
        take_turn(bench.load, ours, {"duty": "bulk", "size": 1 << 20})
        pids = [*ours.workers, *ours.helpers]
        before = sum(memory_mb(pid, "VmRSS") for pid in pids)
        series = bench.take_turns("gigabyte", task, *everybody)
        grown = sum(memory_mb(pid, "VmHWM") for pid in pids) - before
    rate = "mb_per_second"
    name = f"a stream of {size >> 20} MB"
    yield single(f"{name}: memory grows by", "MB", [grown], at_most(64, "MB"))
    yield compared(
        f"{name}, MB/s",
        "",
        series["wiretape"].of(rate),
        series["mitmdump"].of(rate),
        times(1.0),
        direct=series["direct"].of(rate),
        against="mitmdump, storing nothing",
        note=saturation(series["wiretape"], series["mitmdump"]),
    )
    yield compared(
        "CPU per MB of it, proxy process",
        "us",
        series["wiretape"].worker_cpu_us(),
        series["mitmdump"].worker_cpu_us(),
        against="mitmdump, storing nothing",
    )


def big_body(bench: Bench) -> Iterator[Row]:
    """Fifty streams, and a long answer in JSON beside them, once a second."""
    plain = _ticks_task(50, bench.seconds(5, 3))
    big = plain | {"big_every_seconds": 1, "big_size": 10 << 20}
    with bench.contestants() as everybody:
        alone: dict[str, list[float]] = {one.name: [] for one in everybody}
        beside: dict[str, list[float]] = {one.name: [] for one in everybody}
        for _ in range(bench.rounds):
            for one in everybody:
                alone[one.name].append(take_turn(bench.load, one, plain).found["p99_ms"])
                beside[one.name].append(take_turn(bench.load, one, big).found["p99_ms"])
    bench.raw["bigjson"] = {"alone_p99_ms": alone, "beside_p99_ms": beside}
    yield compared(
        "p99 of 50 streams beside 10 MB of JSON a second",
        "ms",
        beside["wiretape"],
        alone["wiretape"],
        at_most_times(1.2),
        direct=beside["direct"],
        against="wiretape without the JSON",
    )
    yield compared(
        "the same against mitmdump",
        "ms",
        beside["wiretape"],
        beside["mitmdump"],
        direct=beside["direct"],
    )
