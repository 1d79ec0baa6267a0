from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.quota import limited


def groups_of(pid: int) -> str:
    return Path(f"/proc/{pid}/cgroup").read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="control groups are Linux's")
def test_process_has_a_part_of_a_core_and_is_given_back() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        before = groups_of(process.pid)
        try:
            with limited([process.pid], 0.25):
                assert f"wiretape-bench-{process.pid}" in groups_of(process.pid)
            assert groups_of(process.pid) == before
        except OSError as exc:
            pytest.skip(f"no control groups to make here: {exc}")
        finally:
            process.communicate(b"\n")
