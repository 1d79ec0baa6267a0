"""Bodies as lines for a person, and their differences: bounded, and without a credential."""

from __future__ import annotations

import json
from collections import Counter

from cassette.bodies import read_body
from cassette.textdiff import MAX_LINES, MAX_SHOWN_LINES, Drawing, likeness, unified_diff, words
from tests.support.calls import as_bytes

KEY = "sk-" + "proj-" + "a1B2" * 10


def lines(body: object) -> list[str]:
    return Drawing().lines(read_body(as_bytes(body)))


def test_json_is_laid_out_by_name() -> None:
    assert lines({"b": [1], "a": "é"}) == ["{", '  "a": "é",', '  "b": [', "    1", "  ]", "}"]


def test_body_that_is_none_says_so() -> None:
    assert lines(b"") == ["(no body)"]


def test_text_of_several_lines_is_broken_at_its_line_ends() -> None:
    shown = lines({"a": "one\ntwo\\nthree\n"})
    assert [line.strip() for line in shown] == ["{", r'"a": "one\n', r'two\\nthree\n"', "}"]


def test_long_text_is_broken_after_sentences() -> None:
    sentences = [f"This is the sentence with the number {number}." for number in range(9)]
    shown = lines({"a": " ".join(sentences)})
    assert sum(line.strip() in [f"{sentence}" for sentence in sentences] for line in shown) == 7
    changed = [*sentences[:4], "A new one.", *sentences[4:]]
    diff = unified_diff(shown, lines({"a": " ".join(changed)}), "a", "b")
    assert [line.strip("+ ") for line in diff.splitlines()[3:] if line[0] in "+-"] == ["A new one."]


def test_long_data_is_cut_but_can_be_told_apart() -> None:
    one, other = lines({"a": "x" * 9999}), lines({"a": "x" * 9998 + "y"})
    assert "9999 characters" in one[1]
    assert len(one[1]) < 120
    assert one != other


def test_bytes_are_shown_by_their_size() -> None:
    assert "3 bytes" in lines(b"\xff\x00\x01")[0]


def test_number_beyond_a_double_is_shown_in_full() -> None:
    assert "12345678901234567890123e-22" in lines(b"[1.2345678901234567890123]")[1]


def test_key_of_a_known_shape_is_not_shown() -> None:
    for body in ({"a": f"x {KEY} y"}, {KEY: 1}, f"text {KEY}".encode()):
        shown = "\n".join(lines(body))
        assert KEY[8:20] not in shown
        assert "REDACTED" in shown


def test_secret_by_name_is_not_shown_but_seen_to_differ() -> None:
    drawing = Drawing()
    bodies = [{"authorization_token": secret, "n": "1"} for secret in ("hush", "hush", "other", "REDACTED")]
    shown = [drawing.lines(read_body(as_bytes(body)))[1] for body in bodies]
    assert not any("hush" in line or "other" in line for line in shown)
    assert shown[0] == shown[1]
    assert len(set(shown)) == 3


def test_equal_lines_have_no_difference() -> None:
    assert unified_diff(["a"], ["a"], "x", "y") == ""
    assert unified_diff([], [], "x", "y") == ""


def test_difference_counts_lines_from_the_start_of_the_whole() -> None:
    before = [str(number) for number in range(5000)]
    after = [*before[:4000], "new", *before[4000:]]
    found = unified_diff(before, after, "x", "y").split("\n")
    assert found == [
        "--- x",
        "+++ y",
        "@@ -3998,6 +3998,7 @@",
        " 3997",
        " 3998",
        " 3999",
        "+new",
        " 4000",
        " 4001",
        " 4002",
    ]


def test_lines_that_were_added_at_the_end_are_a_difference() -> None:
    assert unified_diff(["a"], ["a", "b"], "x", "y").endswith("\n a\n+b")


def test_long_difference_is_cut_and_says_so() -> None:
    before, after = ([f"{side}{number}" for number in range(500)] for side in "ab")
    found = unified_diff(before, after, "x", "y").split("\n")
    assert len(found) == MAX_SHOWN_LINES + 1
    assert "more differs" in found[-1]


def test_what_was_not_compared_is_said() -> None:
    before = ["x", *map(str, range(MAX_LINES * 2))]
    found = unified_diff(before, ["y", *before[1:]], "a", "b").split("\n")
    assert "not compared" in found[-1]


def test_very_long_line_is_cut() -> None:
    found = unified_diff(["a" * 10_000], ["b"], "x", "y")
    assert len(found) < 1000


def test_likeness_is_the_share_of_common_words() -> None:
    a, b = (
        words(read_body(json.dumps({"text": text}).encode())) for text in ("one two three", "one two four")
    )
    assert likeness(a, a) == 1
    assert 0.5 < likeness(a, b) < 1
    assert likeness(Counter("a"), Counter("b")) == 0
    assert likeness(Counter(), Counter()) == 1
