"""How fast wiretape is beside mitmdump, as ratios: `make bench`. Nothing is asserted.

    python -m tests.bench.compare --only rps,ttfb --rounds 3 --quick

Both record the same traffic and take turns on one core; upstream and clients are on another one, and are measured
without a proxy, too. A table goes to standard output, every single turn as JSON into a folder. Needs Linux.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from tests.bench.figures import FIGURES, Bench
from tests.bench.load import load_side
from tests.bench.machine import describe, share_out
from tests.bench.report import Row, table

RESULTS = Path("bench-results")


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
    machine = describe()
    print(", ".join(f"{name} {value}" for name, value in machine.items()), flush=True)
    cores = share_out(os.sched_getaffinity(0), one_core=options.one_core)
    rows: list[Row] = []
    with load_side(cores.load) as load:
        bench = Bench(load, cores, options.rounds, options.quick)
        for name in options.only:
            print(f"measuring {name} ...", file=sys.stderr, flush=True)
            rows += FIGURES[name](bench)
    print(table(rows))
    kept = {
        "machine": machine,
        "rounds": options.rounds,
        "quick": options.quick,
        "one_core": options.one_core,
        "rows": [row.to_json() for row in rows],
        "turns": bench.raw,
    }
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / f"compare-{str(machine['date']).replace(':', '').replace('+0000', 'Z')}.json"
    path.write_text(json.dumps(kept, indent=2) + "\n")
    print(f"written to {path}")


if __name__ == "__main__":
    main()
