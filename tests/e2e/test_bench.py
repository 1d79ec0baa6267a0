"""The benchmarks run to their end: the load side in both languages, and one figure with everything that it needs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.bench.load import Load, build
from tests.bench.machine import on_cores
from tests.support.wiretape import ROOT

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the benchmarks read /proc and bind cores")

TASKS: list[dict[str, Any]] = [
    {"duty": "requests", "connections": 2, "size": 1024, "seconds": 0.1, "warm_seconds": 0.05},
    {"duty": "requests", "connections": 2, "size": 1024, "count": 10},
    {"duty": "connects", "connections": 2, "seconds": 0.1},
    {"duty": "first", "count": 10, "size": 200},
    {
        "duty": "ticks",
        "connections": 3,
        "rate": 50,
        "size": 200,
        "seconds": 0.3,
        "warm_seconds": 0.1,
        "big_every_seconds": 0.05,
        "big_size": 100_000,
    },
    {"duty": "flat", "connections": 2, "size": 200, "seconds": 0.1, "warm_seconds": 0.05},
    {"duty": "bulk", "size": 1_000_000},
]


@pytest.fixture(params=["go", "python"])
def load(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Load]:
    """The load side, by itself."""
    command = [sys.executable, "-m", "tests.bench.pyload"]
    if request.param == "go":
        if shutil.which("go") is None:
            pytest.skip("Go is not installed")
        command = [str(build(tmp_path))]
    roots = tmp_path / "upstream.pem"
    side = Load([*command, str(roots)], roots, frozenset({min(cores())}))
    yield side
    side.close()


def cores() -> set[int]:
    """The cores that this process may use."""
    return os.sched_getaffinity(0)


def test_load_side_performs_every_duty(load: Load) -> None:
    found = [load.run({**task, "proxy": "", "roots": str(load.roots)}) for task in TASKS]
    kept, counted, connected, first, ticks, flat, bulk = found
    assert kept["per_second"] > 0
    assert kept["count"] >= kept["samples"] > 0
    assert counted["count"] == counted["samples"] == 10
    assert connected["count"] > 0
    assert first["samples"] == 9  # the first tenth warms up
    assert 0 < ticks["samples"] <= 3 * 20
    assert ticks["big"] > 0
    assert 0 < ticks["p50_ms"] <= ticks["p99_ms"] <= ticks["max_ms"]
    assert flat["per_second"] > 0
    assert flat["count"] == int(flat["count"])
    assert bulk["mb_per_second"] > 0


@pytest.mark.parametrize("load", ["go"], indirect=True)
def test_load_side_performs_the_duties_over_http2(load: Load) -> None:
    shared = {"connections": 2, "streams": 5, "size": 200, "proxy": "", "roots": str(load.roots)}
    ticks = load.run({"duty": "ticksh2", "rate": 50, "seconds": 0.3, "warm_seconds": 0.1, **shared})
    flat = load.run({"duty": "flath2", "seconds": 0.1, "warm_seconds": 0.05, **shared})
    assert ticks["count"] == 5 * 20
    assert 0 < ticks["samples"] <= ticks["count"]
    assert 0 < ticks["p50_ms"] <= ticks["p99_ms"] <= ticks["max_ms"]
    assert flat["per_second"] > 0
    assert flat["count"] == int(flat["count"])


def test_load_side_says_what_failed_and_goes_on(load: Load) -> None:
    refused = {"duty": "bulk", "size": 1, "proxy": "127.0.0.1:1", "roots": str(load.roots)}
    with pytest.raises(RuntimeError, match=r"(?i)refused|connect call failed"):
        load.run(refused)
    assert load.run({**refused, "proxy": ""})["mb_per_second"] > 0


def test_cores_are_given_back() -> None:
    before = cores()
    with on_cores(frozenset({min(before)})):
        assert cores() == {min(before)}
    assert cores() == before


def test_figure_is_measured_with_both_contestants_and_kept(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.bench.compare", "--only=ttfb", "--rounds=1", "--quick"]
    done = subprocess.run(
        [*command, f"--out={tmp_path}"], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "first byte of a stream, median, ms" in done.stdout
    (kept,) = tmp_path.glob("*.json")
    results = json.loads(kept.read_text())
    (row,) = results["rows"]
    assert min(row["wiretape"], row["mitmdump"], row["direct"], row["ratio"]) > 0
    assert set(results["turns"]["ttfb"]) == {"direct", "wiretape", "mitmdump"}
    assert {"cpu", "cores", "kernel", "python", "mitmproxy", "wiretape", "date"} <= set(results["machine"])
    assert kept.with_suffix(".svg").exists()
