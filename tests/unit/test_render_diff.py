"""What a difference looks like on a terminal, and that nothing recorded is obeyed there."""

from __future__ import annotations

import re

from cassette.diff import Change, Difference, DifferenceKind
from cassette.model import Interaction, Request, Response
from proxy_cli.paper import Paper
from proxy_cli.render_diff import difference_json, difference_text, summary_text

PLAIN = Paper()
KEY = "sk-" + "proj-" + "a1B2" * 10


def at(number: int, url: str = "https://h/v1") -> Interaction:
    return Interaction(number, Request("POST", url), Response("200 OK", 200))


def changed(*changes: Change, request: str = "") -> Difference:
    return Difference(DifferenceKind.CHANGED, at(0), at(0), request, changes)


def test_interaction_that_moved_shows_both_ids() -> None:
    moved = Difference(DifferenceKind.CHANGED, at(1), at(3))
    assert difference_text(moved, PLAIN) == "changed  interaction 1 → 3  POST https://h/v1"


def test_missing_value_is_said_to_be_none() -> None:
    text = difference_text(changed(Change("tool calls", "", "look({})")), PLAIN)
    assert text.splitlines()[1] == "  tool calls     (none) → look({})"


def test_control_sequences_are_shown_as_escapes_wherever_they_stand() -> None:
    evil = "\x1b[31m\u202e"
    request = f"--- a\n+++ b\n@@ -1 +1 @@\n-{evil}\n+x"
    long = "line\n" * 3
    difference = Difference(
        DifferenceKind.CHANGED,
        at(0, f"https://h/{evil}"),
        at(0, f"https://h/{evil}"),
        request,
        (Change("text", evil, "x"), Change("body", long + evil, long)),
    )
    text = difference_text(difference, PLAIN)
    assert text.count("\\x1b[31m\\u202e") == 4
    assert not re.search("[\x1b\u202e]", text)


def test_texts_that_differ_only_in_what_is_hidden_say_so() -> None:
    same = "line\n" * 3 + "REDACTED"
    assert "differ in what is not shown" in difference_text(changed(Change("text", same, same)), PLAIN)


def test_credential_in_the_url_is_not_shown() -> None:
    difference = Difference(DifferenceKind.ADDED, None, at(0, f"https://h/{KEY}?key=hush"))
    text = difference_text(difference, PLAIN)
    assert "REDACTED" in text
    assert "hush" not in text + str(difference_json(difference))
    assert KEY[8:20] not in text + str(difference_json(difference))


def test_colours_tell_what_went_and_what_came() -> None:
    paper = Paper(colour=True)
    text = difference_text(changed(request="--- a\n+++ b\n@@ -1 +1 @@\n-old\n+new"), paper)
    assert "\x1b[31m-old" in text
    assert "\x1b[32m+new" in text
    assert summary_text([], 1, 1, paper).startswith("\x1b[32m")


def test_summary_counts_kinds_in_a_fixed_order() -> None:
    found = [Difference(DifferenceKind.ADDED, None, at(0)), changed(), changed()]
    assert summary_text(found, 2, 3, PLAIN) == "2 changed, 1 added; 2 and 3 interactions"
    assert summary_text([], 1, 1, PLAIN) == "no differences; 1 interaction"
