"""The daemon's log, read and followed."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from addons.errors import ControlError
from proxy_cli.logs import tail
from tests.support.waiting import until


def _write(path: Path, *lines: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in lines)


def test_last_lines_are_told(tmp_path: Path) -> None:
    log = tmp_path / "daemon.log"
    _write(log, "one", "two", "three")
    assert list(tail(log, 2, follow=False)) == ["two\n", "three\n"]
    assert list(tail(log, 100, follow=False)) == ["one\n", "two\n", "three\n"]
    assert list(tail(log, 0, follow=False)) == []


def test_missing_log_is_told(tmp_path: Path) -> None:
    with pytest.raises(ControlError, match="there is no log yet"):
        next(tail(tmp_path / "daemon.log", 1, follow=False))


def test_bytes_that_are_no_text_do_no_harm(tmp_path: Path) -> None:
    log = tmp_path / "daemon.log"
    log.write_bytes(b"good\n\xff\xfe\n")
    assert list(tail(log, 10, follow=False)) == ["good\n", "\ufffd\ufffd\n"]


def test_every_line_is_told_once_across_rotations(tmp_path: Path) -> None:
    log = tmp_path / "daemon.log"
    _write(log, "old", "last")
    seen: list[str] = []

    def follow() -> None:
        for line in tail(log, 1, follow=True):
            seen.append(line)
            if line == "end\n":
                return

    reader = threading.Thread(target=follow, daemon=True)
    reader.start()
    until("the last line", lambda: seen == ["last\n"])
    _write(log, "added")
    until("the added line", lambda: seen[-1:] == ["added\n"])
    # Written and rotated away before the reader looks again.
    _write(log, "behind")
    log.rename(tmp_path / "daemon.log.1")
    _write(log, "new")
    until("the new file's line", lambda: seen[-1:] == ["new\n"])
    _write(log, "end")
    reader.join(20)
    assert seen == ["last\n", "added\n", "behind\n", "new\n", "end\n"]
