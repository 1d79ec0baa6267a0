"""Whether a process has ended: while it ends, too."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

from tests.support.waiting import has_ended, until


def test_process_that_is_being_reaped_is_looked_at_again_and_again() -> None:
    for _ in range(30):
        process = subprocess.Popen([sys.executable, "-S", "-c", "pass"])
        reaper = threading.Thread(target=process.wait)
        reaper.start()
        deadline = time.monotonic() + 30
        while not has_ended(process.pid):  # without a pause: what is looked for takes no time
            assert time.monotonic() < deadline
        reaper.join()
        assert has_ended(process.pid)


def test_zombie_has_ended() -> None:
    process = subprocess.Popen([sys.executable, "-S", "-c", "pass"])
    until("it to end", lambda: has_ended(process.pid))
    assert process.returncode is None
    process.wait()
