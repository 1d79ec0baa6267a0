from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from cassette.errors import StoreError
from cassette.times_file import TimesFile, remove_times
from cassette.timing import Timing, read_timing, timing_line

ONE = Timing(5, ((6, 7),), 1)
TWO = Timing(0, ((3, 1), (8, 1)), 2)


@pytest.fixture
def times(tmp_path: Path) -> TimesFile:
    return TimesFile(tmp_path / "chat.yaml")


def test_lines_go_one_behind_the_other_into_a_private_file(times: TimesFile, tmp_path: Path) -> None:
    times.put(0, ONE)
    times.put(1, TWO)

    path = tmp_path / "chat.timing.jsonl"
    assert path.read_bytes() == timing_line(0, ONE) + timing_line(1, TWO)
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_first_interaction_of_a_cassette_begins_the_file_anew(times: TimesFile) -> None:
    times.path.write_bytes(timing_line(0, TWO) + timing_line(1, TWO))
    times.put(0, ONE)

    assert read_timing(times.path.read_bytes()) == {0: ONE}


def test_a_later_one_goes_behind_what_is_there_and_the_files_mode_stays(times: TimesFile) -> None:
    times.path.write_bytes(timing_line(0, TWO))
    times.path.chmod(0o644)
    times.put(1, ONE)

    assert read_timing(times.path.read_bytes()) == {0: TWO, 1: ONE}
    assert times.path.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("cut", range(1, len(timing_line(1, TWO)) - 1))
def test_a_line_that_a_crash_cut_short_is_taken_away(times: TimesFile, cut: int) -> None:
    times.path.write_bytes(timing_line(0, ONE) + timing_line(1, TWO)[:cut])
    times.put(1, TWO)

    assert times.path.read_bytes() == timing_line(0, ONE) + timing_line(1, TWO)


def test_a_whole_last_line_without_its_end_is_kept(times: TimesFile) -> None:
    times.path.write_bytes(timing_line(0, ONE).rstrip())
    times.put(1, TWO)

    assert times.path.read_bytes() == timing_line(0, ONE) + timing_line(1, TWO)


def test_an_interaction_that_is_tried_again_gets_no_second_line(times: TimesFile) -> None:
    times.put(1, ONE)
    times.put(1, ONE)

    assert times.path.read_bytes() == timing_line(1, ONE)


def test_a_symlink_is_not_followed_and_that_is_logged_once(
    times: TimesFile, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    target = tmp_path / "elsewhere"
    target.write_text("mine")
    times.path.symlink_to(target)
    with caplog.at_level(logging.ERROR):
        times.put(1, ONE)
        times.put(2, ONE)

    assert target.read_text() == "mine"
    assert [record.message.partition(" ")[0] for record in caplog.records] == ["times.not_kept"]


def test_a_pipe_in_its_place_stops_nobody(times: TimesFile, caplog: pytest.LogCaptureFixture) -> None:
    os.mkfifo(times.path)
    times.put(1, ONE)

    assert "is not a regular file" in caplog.text


def test_syncing_needs_no_file(times: TimesFile) -> None:
    times.sync()
    times.put(1, ONE)
    times.path.unlink()
    times.sync()


def test_times_of_a_cassette_before_are_removed(tmp_path: Path) -> None:
    remove_times(tmp_path / "chat.yaml")
    (tmp_path / "chat.timing.jsonl").write_bytes(timing_line(0, ONE))
    remove_times(tmp_path / "chat.yaml")
    assert list(tmp_path.iterdir()) == []

    (tmp_path / "chat.timing.jsonl").mkdir()
    with pytest.raises(StoreError, match=r"chat\.timing\.jsonl: cannot remove the times"):
        remove_times(tmp_path / "chat.yaml")
