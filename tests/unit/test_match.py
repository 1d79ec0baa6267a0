"""Which recorded interaction a request gets: the strictest match first, each once."""

from __future__ import annotations

import json

from cassette.canonical import Level
from cassette.match import Deck, Reason
from cassette.matchrules import MatchRules
from cassette.model import Interaction, Request, Response
from tests.support.calls import CHAT, hit, miss, recorded

KEY = "sk-" + "proj-" + "a1B2" * 10
FORM = (("Content-Type", "application/x-www-form-urlencoded"),)


def test_equal_bytes_are_an_exact_hit() -> None:
    found = hit(Deck(recorded(b"{}")), b"{}")
    assert (found.interaction.id, found.how, found.repeated) == (0, Level.EXACT, False)


def test_other_order_and_line_ends_are_a_json_hit() -> None:
    deck = Deck(recorded(b'{"a": "x\\r\\ny", "b": 1}'))
    assert hit(deck, b'{\r\n"b": 1.0,\r\n"a": "x\\ny"}').how is Level.JSON


def test_identical_calls_advance() -> None:
    deck = Deck(recorded({"a": 1}, {"a": 1}, {"a": 1}))
    assert [hit(deck, {"a": 1}).interaction.id for _ in range(3)] == [0, 1, 2]
    assert miss(deck, {"a": 1}).reason is Reason.ALL_USED


def test_stricter_match_comes_before_an_earlier_one() -> None:
    deck = Deck(recorded(b'{"a":1,"b":2}', b'{"b":2,"a":1}', b'{"a":1,"b":2,"user":"x"}'))
    assert hit(deck, b'{"a":1,"b":2,"user":"x"}').interaction.id == 2
    assert hit(deck, b'{"b":2,"a":1}').interaction.id == 1
    assert hit(deck, b'{"b":2,"a":1}').how is Level.JSON
    assert miss(deck, b'{"a":1,"b":2}').reason is Reason.ALL_USED


def test_match_by_rules_takes_the_first_that_is_unused() -> None:
    deck = Deck(recorded({"q": 1, "user": "a"}, {"q": 1, "user": "b"}))
    first = hit(deck, {"q": 1, "user": "c"})
    assert (first.interaction.id, first.how) == (0, Level.RULES)
    assert hit(deck, {"q": 1}).interaction.id == 1


def test_concurrent_calls_are_paired_by_content() -> None:
    deck = Deck(recorded(*({"input": text} for text in "abcde")))
    assert [hit(deck, {"input": text}).interaction.id for text in "ecabd"] == [4, 2, 0, 1, 3]
    assert deck.unused() == ()


def test_repeat_lets_the_last_match_stand_in() -> None:
    deck = Deck(recorded({"a": 1}, {"a": 1}, {"a": 2}), repeat=True)
    found = [hit(deck, {"a": 1}) for _ in range(4)]
    assert [(one.interaction.id, one.repeated) for one in found] == [
        (0, False),
        (1, False),
        (1, True),
        (1, True),
    ]
    assert miss(deck, {"a": 3}).reason is Reason.BODIES_DIFFER
    assert [item.id for item in deck.unused()] == [2]


def test_repeat_does_not_take_what_another_level_still_has() -> None:
    deck = Deck(recorded({"q": 1, "user": "a"}, {"q": 1, "user": "b"}), repeat=True)
    found = [hit(deck, {"q": 1, "user": "a"}) for _ in range(3)]
    assert [(one.interaction.id, one.how, one.repeated) for one in found] == [
        (0, Level.EXACT, False),
        (1, Level.RULES, False),
        (0, Level.EXACT, True),
    ]


def test_hits_misses_and_what_is_unused_are_counted() -> None:
    deck = Deck(recorded({"a": 1}, {"a": 2}), repeat=True)
    hit(deck, {"a": 1})
    hit(deck, {"a": 1})
    miss(deck, {"a": 3})
    assert (deck.hits, deck.misses, [item.id for item in deck.unused()]) == (2, 1, [1])


def test_what_another_deck_has_handed_out_is_passed_over() -> None:
    taken: set[int] = set()

    def claim(position: int) -> bool:
        is_free = position not in taken
        taken.add(position)
        return is_free

    calls = recorded({"a": 1}, {"a": 1}, {"a": 1, "user": "x"}, {"a": 1})
    one, two = (Deck(calls, claim=claim) for _ in range(2))
    assert hit(one, {"a": 1}).interaction.id == 0
    assert hit(two, {"a": 1}).interaction.id == 1
    assert hit(one, {"a": 1}).interaction.id == 3
    assert hit(two, {"a": 1}).how is Level.RULES
    assert miss(one, {"a": 1}).reason is Reason.ALL_USED
    fresh = Deck(calls)
    fresh.note_used(b"\1\0\1\0")
    assert [item.id for item in fresh.unused()] == [1, 3]


def test_request_without_a_body_matches_only_one_without() -> None:
    deck = Deck(recorded(b"", b"{}", b" "))
    assert hit(deck, b"").interaction.id == 0
    assert miss(deck, b"").reason is Reason.ALL_USED
    other = Deck(recorded({"user": "x"}))
    assert miss(other, b"").reason is Reason.BODIES_DIFFER


def test_method_and_url_must_be_equal() -> None:
    deck = Deck(recorded(b"{}"))
    assert miss(deck, b"{}", method="PUT").reason is Reason.NOTHING_RECORDED
    assert miss(deck, b"{}", url=CHAT + "/2").reason is Reason.NOTHING_RECORDED
    assert miss(deck, b"{}", url=CHAT.replace("https", "http")).reason is Reason.NOTHING_RECORDED
    assert miss(deck, b"{}", url=CHAT.replace(".com", ".com:8443")).reason is Reason.NOTHING_RECORDED
    assert hit(deck, b"{}", url=CHAT.replace(".com", ".COM:443"))


def test_recorded_request_without_a_method_is_a_get_as_in_go() -> None:
    deck = Deck((Interaction(0, Request("", "https://h/models"), Response("200 OK", 200)),))
    assert hit(deck, b"", url="https://h/models", method="GET")


def test_ignored_query_parameters_and_the_order_of_the_others_are_rules() -> None:
    url = CHAT + "?api-version=1&a=1&b=2"
    deck = Deck(recorded(b"{}", b"{}", url=url), MatchRules(ignore_query=("api-version",)))
    assert hit(deck, b"{}", url=url).how is Level.EXACT
    assert hit(deck, b"{}", url=CHAT + "?b=2&a=1&api-version=2").how is Level.RULES
    assert miss(deck, b"{}", url=CHAT + "?b=2&a=2").reason is Reason.NOTHING_RECORDED


def test_real_key_in_the_url_matches_the_redacted_recording() -> None:
    deck = Deck(recorded(b"{}", url="https://h/v1:generateContent?key=REDACTED"))
    assert hit(deck, b"{}", url="https://h/v1:generateContent?key=" + KEY).how is Level.EXACT


def test_real_key_in_a_form_matches_the_redacted_recording() -> None:
    deck = Deck(recorded(b"grant_type=x&client_secret=REDACTED"))
    assert hit(deck, b"grant_type=x&client_secret=hush", headers=FORM).how is Level.EXACT


def test_real_key_in_a_text_matches_the_redacted_recording() -> None:
    deck = Deck(recorded({"input": "my key is REDACTED, is it safe?"}))
    assert hit(deck, {"input": f"my key is {KEY}, is it safe?"}).how is Level.RULES


def test_other_key_matches_a_recording_that_holds_one() -> None:
    deck = Deck(recorded({"tools": [{"authorization": KEY}]}, url="https://h/x?key=old"))
    assert hit(
        deck,
        {"tools": [{"authorization": KEY.swapcase().replace("SK-PROJ", "sk-proj")}]},
        "https://h/x?key=new",
    )


def test_key_of_no_known_shape_is_content() -> None:
    miss(Deck(recorded({"tools": [{"authorization": "abc"}]})), {"tools": [{"authorization": "def"}]})


def test_headers_are_not_compared() -> None:
    deck = Deck(recorded(b"{}", content_type="application/json"))
    headers = (
        ("Authorization", "Bearer hush"),
        ("X-Stainless-Arch", "arm64"),
        ("content-type", "text/plain"),
    )
    assert hit(deck, b"{}", headers=headers).how is Level.EXACT


def test_boundary_of_multipart_is_not_compared() -> None:
    def upload(boundary: str) -> bytes:
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"\r\n\r\n'
        return head.encode() + b"\x00\xff" + f"\r\n--{boundary}--\r\n".encode()

    deck = Deck(recorded(upload("one")))
    headers = (("Content-Type", "multipart/form-data; boundary=two"),)
    assert hit(deck, upload("two"), headers=headers).how is Level.JSON


def test_ignored_path_is_not_compared() -> None:
    deck = Deck(recorded({"a": 1, "trace": {"id": "x"}}), MatchRules(ignore_paths=("trace.id",)))
    assert hit(deck, {"a": 1, "trace": {"id": "y"}}).how is Level.RULES


def test_dates_match_when_they_are_named_as_volatile_and_only_then() -> None:
    before, after = {"input": "Today is 2026-08-01."}, {"input": "Today is 2026-08-02."}
    miss(Deck(recorded(before)), after)
    assert hit(Deck(recorded(before), MatchRules(volatile=("date",))), after).how is Level.RULES


def test_what_a_broken_body_holds_is_compared_as_text() -> None:
    deck = Deck(recorded(b'{"a": \r\n', b"\xff\xfe"))
    assert hit(deck, b'{"a": \n').how is Level.JSON
    assert hit(deck, b"\xff\xfe").how is Level.EXACT
    assert miss(deck, b'{"a":').reason is Reason.BODIES_DIFFER


def test_miss_holds_the_candidates_and_whether_they_are_used() -> None:
    items = (*recorded({"a": 1}, {"a": 2}), *recorded({"a": 1}, url="https://h/other"))
    deck = Deck(items)
    hit(deck, {"a": 2})
    found = miss(deck, {"a": 3})
    assert [(one.interaction.id, one.used) for one in found.candidates] == [(0, False), (1, True)]
    assert [one.interaction for one in miss(deck, {"a": 2}).candidates] == [items[1]]
    assert len(miss(deck, {}, url="https://h/nowhere").candidates) == 3


def test_miss_holds_no_credential() -> None:
    deck = Deck(recorded({"a": 1}))
    found = miss(deck, b"client_secret=hush", url=CHAT + "?key=hush", headers=(*FORM, ("x-api-key", "hush")))
    assert "hush" not in repr(found.request)


def test_index_may_be_built_beforehand() -> None:
    deck = Deck(recorded({"a": 1, "b": 2}, {"user": "x"}))
    deck.index()
    assert hit(deck, json.dumps({"b": 2, "a": 1}).encode()).how is Level.JSON
    assert hit(deck, {}).how is Level.RULES


def test_empty_deck_has_nothing_recorded() -> None:
    assert miss(Deck(()), {}).reason is Reason.NOTHING_RECORDED


def test_form_does_not_match_json_of_the_same_fields() -> None:
    assert miss(Deck(recorded(b"a=1")), {"a": ["1"]}).reason is Reason.BODIES_DIFFER
