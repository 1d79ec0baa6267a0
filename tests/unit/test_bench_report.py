"""The benchmarks' own logic: ratios, targets, the table, the picture, who runs on which core."""

from __future__ import annotations

import json
from xml.etree import ElementTree as ET

import pytest

from tests.bench.compare import FIGURES, arguments
from tests.bench.contest import Series, Turn
from tests.bench.figures import saturation
from tests.bench.machine import share_out
from tests.bench.plot import marks, svg
from tests.bench.report import (
    Row,
    at_least,
    at_most,
    at_most_times,
    compared,
    shown,
    single,
    skipped,
    table,
    times,
)


def test_ratio_is_the_median_of_the_rounds_ratios_and_not_that_of_medians() -> None:
    row = compared("rate", "", [10, 20, 90], [10, 40, 30], times(1))
    assert (row.wiretape, row.mitmdump) == (20, 30)
    assert (row.ratio_low, row.ratio, row.ratio_high) == (0.5, 1, 3)


def test_series_that_are_no_pairs_are_refused() -> None:
    with pytest.raises(ValueError, match="no pairs"):
        compared("rate", "", [1, 2], [1])
    with pytest.raises(ValueError, match="no pairs"):
        compared("rate", "", [], [])


def test_round_in_which_the_other_had_nothing_has_no_ratio() -> None:
    assert compared("rate", "", [4, 4], [0, 2]).ratio == 2
    assert compared("rate", "", [4], [0]).ratio is None


@pytest.mark.parametrize(
    ("ours", "met"),
    [(20, True), (19, False)],
)
def test_more_is_better_where_the_target_says_at_least(ours: float, met: bool) -> None:
    assert compared("rate", "", [ours], [10], times(2)).met is met


@pytest.mark.parametrize(
    ("ours", "met"),
    [(0.9, True), (1.05, False), (2.0, False)],
)
def test_every_target_of_a_row_has_to_be_met(ours: float, met: bool) -> None:
    row = compared("p99", "ms", [ours], [1.0], at_most_times(1.1), at_most(1, "ms"))
    assert row.met is met


def test_row_without_a_target_or_without_a_figure_has_no_verdict() -> None:
    assert compared("cost", "us", [1], [2]).met is None
    assert skipped("two workers", "no option --workers").met is None
    assert Row("rate", "", None, targets=(times(2),)).met is None


def test_table_has_a_line_for_each_row_and_notes_below_theirs() -> None:
    rows = [
        compared("requests/s", "", [1234.5], [500], times(2), direct=[30000], note="a note"),
        single("memory grows by", "MB", [70.0], at_most(64, "MB")),
        skipped("two workers", "no option --workers"),
    ]
    head, _, first, note, second, third, reason = table(rows).split("\n")
    assert head.split() == ["figure", "wiretape", "mitmdump", "direct", "ratio", "spread", "target", "met?"]
    assert first.split() == [
        "requests/s",
        "1,234",
        "500",
        "30,000",
        "2.47",
        "2.47-2.47",
        ">=",
        "2",
        "x",
        "yes",
    ]
    assert note.strip() == "a note"
    assert second.split() == ["memory", "grows", "by,", "MB", "70", "<=", "64", "MB", "NO"]
    assert third == "two workers"
    assert reason.strip() == "skipped: no option --workers"


def test_table_names_whom_a_row_is_against() -> None:
    assert "(second column: one worker)" in table([compared("rps", "", [2], [1], against="one worker")])


@pytest.mark.parametrize(
    ("value", "text"), [(None, ""), (0.04567, "0.0457"), (12.345, "12.3"), (98765.4, "98,765")]
)
def test_values_are_shown_with_three_digits_that_tell(value: float | None, text: str) -> None:
    assert shown(value) == text


def test_row_in_json_has_its_verdict_and_its_targets_in_words() -> None:
    plain = compared("rate", "MB/s", [50], [25], at_least(40, "MB/s"), times(3)).to_json()
    read = json.loads(json.dumps(plain))
    assert (read["targets"], read["met"], read["ratio"]) == ([">= 40 MB/s", ">= 3 x"], False, 2.0)


def test_picture_turns_round_what_is_better_when_less() -> None:
    rows = [
        compared("rate", "", [20], [10], times(1.5)),
        compared("latency", "ms", [1, 1], [2, 4], at_most_times(0.8)),
        single("memory", "MB", [3], at_most(64, "MB")),
        compared("no target", "", [1], [1]),
    ]
    rate, latency = marks(rows)
    assert (rate.at, rate.target) == (2, 1.5)
    assert (latency.low, latency.high, latency.target) == (2, 4, 1.25)


def test_picture_is_xml_with_a_dot_for_each_ratio() -> None:
    rows = [compared("a < b & c", "", [20], [10], times(1.5)), compared("d", "", [30], [10], times(1.5))]
    root = ET.fromstring(svg(rows, "a title"))
    assert len(root.findall("{http://www.w3.org/2000/svg}circle")) == 2
    assert "a < b & c" in [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]


@pytest.mark.parametrize(
    ("available", "one_core", "proxy", "load", "helpers"),
    [
        ({0}, False, {0}, {0}, {0}),
        ({2, 5}, False, {2}, {5}, {5}),
        ({2, 5}, True, {2}, {5}, {2}),
        ({0, 1, 2, 3}, False, {0}, {1}, {2, 3}),
    ],
)
def test_proxy_has_a_core_of_its_own_where_there_are_two(
    available: set[int], one_core: bool, proxy: set[int], load: set[int], helpers: set[int]
) -> None:
    cores = share_out(available, one_core=one_core)
    assert [set(some) for some in (cores.proxy, cores.load, cores.helpers)] == [proxy, load, helpers]


def turns(*, worker_cpu: float, load_cpu: float = 0.1) -> Series:
    return Series([Turn({"count": 1000}, 1.0, worker_cpu, 0.25, load_cpu)])


def test_cost_of_a_request_counts_the_helpers_apart() -> None:
    series = turns(worker_cpu=0.5)
    assert (series.worker_cpu_us(), series.whole_cpu_us()) == ([500.0], [750.0])


def test_note_says_what_else_than_the_proxy_was_the_limit() -> None:
    busy = turns(worker_cpu=0.99)
    assert saturation(busy, busy) == ""
    assert "wiretape had 50% of it, mitmdump 99%" in saturation(turns(worker_cpu=0.5), busy)
    assert "load side" in saturation(busy, turns(worker_cpu=0.99, load_cpu=0.98))


def test_figures_can_be_chosen_by_name() -> None:
    assert arguments(["--only", "rps,ttfb"]).only == ["rps", "ttfb"]
    assert arguments([]).only == list(FIGURES)


def test_unknown_figure_is_refused_with_the_names_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        arguments(["--only", "speed"])
    assert "no such figure: speed; there are rps, ttfb" in capsys.readouterr().err
