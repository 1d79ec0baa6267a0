"""A cassette that is being recorded is a whole cassette whenever somebody opens it, and after any kill -9."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import cassette
from cassette.model import Layout
from cassette.store import CassetteFile
from tests.support.growing import PAUSE_EVERY, WRITER, an_interaction

ROOT = Path(__file__).resolve().parents[2]
COUNT = 12

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="a reader is kept apart by a lease, as Linux has it"
)


def growing(
    path: Path, ledger: Path, *kill_at: str, stdin: int = subprocess.DEVNULL
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.support.growing", path, ledger, str(COUNT), *kill_at],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=stdin,
        stdout=subprocess.PIPE,
        text=True,
    )


def check(data: bytes) -> int:
    """Fail unless this is a whole cassette; return how many interactions it has."""
    recorded = cassette.loads(data)
    assert [one.id for one in recorded.interactions] == list(range(len(recorded.interactions)))
    assert all(
        one.response.body == an_interaction(number).response.body
        for number, one in enumerate(recorded.interactions)
    )
    assert data.endswith(b"duration: 0s\n") or not recorded.interactions
    return len(recorded.interactions)


def slowly(path: Path) -> bytes:
    """Read a file in small steps, as somebody who is in no hurry does."""
    pieces = []
    with path.open("rb", buffering=0) as file:
        while piece := file.read(1 << 16):
            pieces.append(piece)
    return b"".join(pieces)


@pytest.mark.parametrize("read", [Path.read_bytes, slowly])
def test_every_reader_sees_a_whole_cassette(tmp_path: Path, read: Callable[[Path], bytes]) -> None:
    path = tmp_path / "chat.yaml"
    seen: dict[int, bytes] = {}
    said: list[str] = []

    def look() -> None:
        data = read(path)
        # Parsed later: what is as long is the same, for nothing is ever taken away.
        seen.setdefault(len(data), data)
        assert len(seen) <= COUNT + 1, "it grew in smaller steps than interactions"

    with growing(path, tmp_path / "ledger", stdin=subprocess.PIPE) as process:
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stdout.readline() == "begun\n"
            while said[-1:] != ["done\n"]:
                look()
                if select.select([process.stdout], [], [], 0)[0]:
                    said.append(process.stdout.readline())
                    look()
                    process.stdin.write("\n")
                    process.stdin.flush()
        finally:
            process.kill()
    assert said == [*(f"{number}\n" for number in range(PAUSE_EVERY, COUNT + 1, PAUSE_EVERY)), "done\n"]
    assert len(seen) >= COUNT // PAUSE_EVERY
    for data in seen.values():
        check(data)
    assert check(path.read_bytes()) == COUNT


@pytest.mark.parametrize("write", [1, 2, 3, 8, 9, 10, 11, 12, 13, 14, 15, 16])
def test_a_kill_in_the_middle_of_any_write_leaves_a_whole_cassette(tmp_path: Path, write: int) -> None:
    path, ledger = tmp_path / "tapes" / "chat.yaml", tmp_path / "ledger"
    with growing(path, ledger, str(write)) as process:
        process.wait(60)
    assert process.returncode == -signal.SIGKILL
    there = check(path.read_bytes()) if path.exists() else 0
    with contextlib.closing(CassetteFile(path, ledger, Layout.CHARM)) as file:
        assert check(path.read_bytes()) == there
        assert file.done == {(WRITER, done) for done in range(there)}
        for left in range(there, there + 2):
            file.append(WRITER, left, an_interaction(left))
    assert check(path.read_bytes()) == there + 2
    assert list(path.parent.iterdir()) == [path]
