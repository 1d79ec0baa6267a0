"""How fast wiretape is beside mitmdump, as ratios: `make bench`. Nothing is asserted.

    python -m tests.bench.compare --only rps,ttfb --rounds 3 --quick

Both record the same traffic and take turns on one core; upstream and clients are on another one, and are measured
without a proxy, too. A table goes to standard output; every single turn as JSON, and the ratios as a picture, go
into a folder. Needs Linux.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.bench import figures, figures_http2, growth
from tests.bench.figures import Bench
from tests.bench.load import load_side
from tests.bench.machine import describe, share_out
from tests.bench.plot import svg
from tests.bench.report import Row, skipped, table

RESULTS = Path("bench-results")

FIGURES: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "rps": figures.requests,
    "ttfb": figures.first_byte,
    "chunks": figures.chunks,
    "streams300": figures.many_streams,
    "flat": figures.flat_out,
    "connects": figures.connections,
    "workers": figures.workers,
    "gigabyte": figures.gigabyte,
    "bigjson": figures.big_body,
    "flath2": figures_http2.flat_out,
    "chunksh2": figures_http2.chunks,
    "nth": growth.growing,
    "cassettes": growth.cassettes,
}


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default=",".join(FIGURES), help=f"some of: {', '.join(FIGURES)}")
    parser.add_argument("--rounds", type=int, default=5, help="turns that each contestant has")
    parser.add_argument("--quick", action="store_true", help="shorter turns; for a look while developing")
    parser.add_argument(
        "--one-core", action="store_true", help="all of wiretape on the proxy's core, the scribe too"
    )
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the results")
    parsed = parser.parse_args(given)
    parsed.only = parsed.only.split(",")
    if unknown := set(parsed.only) - set(FIGURES):
        parser.error(f"no such figure: {', '.join(sorted(unknown))}; there are {', '.join(FIGURES)}")
    if parsed.rounds < 1:
        parser.error("at least one round is needed")
    return parsed


def main(given: list[str] | None = None) -> None:
    """Measure, print, keep."""
    options = arguments(given)
    # What was started must not stay behind when this is ended.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    cores = share_out(os.sched_getaffinity(0), one_core=options.one_core)
    machine = describe(cores.proxy)
    print(", ".join(f"{name} {value}" for name, value in machine.items()), flush=True)
    rows: list[Row] = []
    failed = False
    with load_side(cores.load) as load:
        bench = Bench(load, cores, options.rounds, options.quick)
        for name in options.only:
            print(f"measuring {name} ...", file=sys.stderr, flush=True)
            try:
                rows += FIGURES[name](bench)
            except (RuntimeError, OSError, AssertionError) as exc:  # the others are still worth having
                rows.append(skipped(name, f"it failed: {exc}"))
                failed = True
    print(table(rows))
    for path in keep(options, machine, rows, bench.raw):
        print(f"written: {path}")
    if failed:
        sys.exit(1)


def keep(
    options: argparse.Namespace, machine: dict[str, str | int], rows: list[Row], turns: dict[str, Any]
) -> list[Path]:
    """Write the results into the folder, under the time of the run; return the files."""
    kept = {
        "machine": machine,
        "rounds": options.rounds,
        "quick": options.quick,
        "one_core": options.one_core,
        "rows": [row.to_json() for row in rows],
        "turns": turns,
    }
    options.out.mkdir(parents=True, exist_ok=True)
    when = str(machine["date"]).partition("+")[0].replace(":", "")
    data = options.out / f"compare-{when}Z.json"
    data.write_text(json.dumps(kept, indent=2) + "\n")
    names = ("cpu", "cores", "python", "mitmproxy", "wiretape")
    picture = data.with_suffix(".svg")
    about = ", ".join(f"{name} {machine[name]}" for name in names)
    picture.write_text(svg(rows, f"wiretape beside mitmdump: {about}"))
    return [data, picture]


if __name__ == "__main__":
    main()
