"""A miss explains itself: the closest recording, where it differs, and no credential."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cassette.bodies import read_body
from cassette.explain import MAX_EXPLANATION, MAX_READ, differing_places, explain, find_closest
from cassette.match import Deck, Miss
from cassette.matchrules import MatchRules
from tests.support.calls import CHAT, as_bytes, hit, miss, recorded

KEY = "sk-" + "proj-" + "a1B2" * 10


def chat(question: str, **more: object) -> dict[str, object]:
    system = {"role": "system", "content": "You are a careful assistant. Answer in one sentence."}
    return {"model": "gpt-5", "messages": [system, {"role": "user", "content": question}], **more}


def closest_id(found: Miss) -> int:
    closest = find_closest(found)
    assert closest is not None
    return closest.interaction.id


def test_miss_names_the_closest_interaction_and_where_it_differs() -> None:
    deck = Deck(recorded(chat("What is the capital of France?"), chat("Write a poem about the sea.")))
    said = explain(miss(deck, chat("Write a poem about the lake.", temperature=0.5)))
    paragraph, _, diff = said.partition("\n\n")
    assert f"answers POST {CHAT}: 2 interactions are recorded for it, with other bodies." in paragraph
    assert "closest is interaction 1; it differs at messages[1].content, temperature." in paragraph
    assert diff.startswith("--- interaction 1\n+++ request\n@@ ")
    assert '-      "content": "Write a poem about the sea.",' in diff
    assert '+      "content": "Write a poem about the lake.",' in diff
    assert '+  "temperature": 0.5' in diff


def test_diff_shows_only_what_the_rules_leave() -> None:
    deck = Deck(recorded(b'{"user":"a","q":1,"z":2}'), MatchRules(ignore_paths=("z",)))
    closest = find_closest(miss(deck, b'{"z":3,"q":2,"user":"b"}'))
    assert closest is not None
    assert closest.places == ("q",)
    assert "user" not in closest.diff
    assert '"z"' not in closest.diff


def test_unused_interaction_is_closer_than_a_used_one_that_is_as_near() -> None:
    deck = Deck(recorded({"q": "a"}, {"q": "b"}))
    hit(deck, {"q": "a"})
    assert closest_id(miss(deck, {"q": "c"})) == 1
    hit(deck, {"q": "b"})
    found = miss(deck, {"q": "c"})
    assert closest_id(found) == 0
    assert "interaction 0, which has answered before" in explain(found)


def test_calls_that_are_used_up_are_named() -> None:
    deck = Deck(recorded({"q": 1}, {"q": 2}, {"q": 1}))
    hit(deck, {"q": 1})
    hit(deck, {"q": 1})
    said = explain(miss(deck, {"q": 1}))
    assert "have each answered once (0, 2)" in said
    assert "--repeat" in said
    assert "@@" not in said


def test_url_that_is_not_recorded_gets_the_nearest_one() -> None:
    items = (
        *recorded({"q": 1}, url="https://h/v1/embeddings"),
        *recorded({"q": 1}, url="https://h/v1/chat/completions?api-version=1"),
        *recorded({"q": 1}, url="https://h/v1/chat/completion"),
    )
    items = tuple(replace(item, id=number) for number, item in enumerate(items))
    found = miss(Deck(items), {"q": 1}, "https://h/v1/chat/completions?api-version=2")
    assert closest_id(found) == 1
    said = explain(found)
    assert "nothing is recorded for this method and url" in said
    assert "POST https://h/v1/chat/completions?api-version=1" in said
    assert "Also recorded: POST https://h/v1/chat/completion, POST https://h/v1/embeddings." in said


def test_the_body_of_a_call_to_another_url_is_not_shown() -> None:
    deck = Deck(recorded(*(chat(f"word {number} " * 500) for number in range(3)), url="https://h/v1/chat"))
    said = explain(miss(deck, {"input": "other"}, "https://h/v1/embeddings"))
    assert len(said) < 300
    assert "word" not in said


def test_an_explanation_is_bounded() -> None:
    before, after = ({"lines": [f"{name} {number} " * 20 for number in range(300)]} for name in ("a", "b"))
    said = explain(miss(Deck(recorded(before)), after))
    assert MAX_EXPLANATION < len(said) < MAX_EXPLANATION + 100
    assert said.endswith("… (cut here)")


def test_method_that_is_not_recorded_gets_the_same_url() -> None:
    items = (*recorded(b"", url="https://h/x", method="GET"), *recorded(b"{}", url="https://h/y"))
    assert "GET https://h/x" in explain(miss(Deck(items), b"{}", "https://h/x"))


def test_empty_deck_says_that_nothing_is_recorded() -> None:
    found = miss(Deck(()), {"q": 1})
    assert find_closest(found) is None
    assert explain(found).endswith("nothing is recorded.")


def test_differences_that_look_volatile_name_the_pattern_that_would_help() -> None:
    uuids = [f"{digit * 8}-aaaa-bbbb-cccc-{digit * 12}" for digit in "12"]
    before, after = (chat(f"Today is 2026-08-0{n}, run {uuids[n - 1]}.") for n in (1, 2))
    assert "with the built-in pattern `uuid` and `date` they would match" in explain(
        miss(Deck(recorded(before)), after)
    )
    said = explain(miss(Deck(recorded(before), MatchRules(volatile=("uuid",))), after))
    assert "with the built-in pattern `date` they would match" in said
    assert "volatile" not in explain(miss(Deck(recorded(before)), chat("Today is another day.")))


@pytest.mark.parametrize(
    "body", [{"input": KEY, "x": 1}, {"headers": {"Authorization": "Bearer hush"}}, f"text {KEY}".encode()]
)
def test_explanation_holds_no_credential(body: object) -> None:
    url = "https://user:hush@h/v1?key=hush&a=1"
    headers = (("Authorization", "Bearer hush"), ("content-type", "application/json"))
    for deck in (Deck(()), Deck(recorded({"a": "b"}, url="https://h/v1?key=x&a=1")), Deck(recorded(body))):
        said = explain(miss(deck, body, url, headers))
        assert "REDACTED" in said
        assert KEY[8:20] not in said
        assert "hush" not in said


def test_body_that_is_no_json_is_compared_by_lines() -> None:
    said = explain(miss(Deck(recorded(b"one\ntwo\nthree")), b"one\n2\nthree"))
    assert "-two\n+2" in said
    assert "differs at" not in said


def test_binary_body_is_described() -> None:
    assert "bytes, sha256" in explain(miss(Deck(recorded(b"\xff\x00")), b"\xff\x01"))


def test_body_that_is_too_long_is_not_laid_out() -> None:
    said = explain(miss(Deck(recorded({"a": "x " * MAX_READ})), {"a": "y " * MAX_READ}))
    assert "too long to be shown" in said
    assert len(said) < 2000


def test_of_many_long_candidates_those_of_nearest_length_are_read() -> None:
    long = {"a": "word " * (MAX_READ // 8)}
    deck = Deck(recorded(long, long, {"a": "short one"}, long))
    assert closest_id(miss(deck, {"a": "short two"})) == 2


def test_places_are_the_shortest_paths_that_tell() -> None:
    a, b = (
        read_body(as_bytes(value))
        for value in (
            {"same": 1, "list": [1, 2], "only": {"x": 1}, "kind": [1], "deep": {"x.y": {"z": 1}}},
            {"same": 1, "list": [1, 3, 4, 5], "kind": {"0": 1}, "deep": {"x.y": {"z": True}}},
        )
    )
    assert differing_places(a, b) == ['deep["x.y"].z', "kind", "list[1]", "list[2]", "only"]
    assert differing_places(a, b, most=2) == ['deep["x.y"].z', "kind"]
    assert differing_places(a, read_body(b"text")) == []
