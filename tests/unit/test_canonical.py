"""The forms in which requests are compared: one spelling of a URL, and what rules leave of a body."""

from __future__ import annotations

import re
from typing import Any

import pytest

from cassette.bodies import Body, Kind, read_body
from cassette.canonical import (
    body_under_rules,
    canonical_url,
    content_type_of,
    exact_key,
    redact_values,
    redacted_request,
    url_under_rules,
)
from cassette.matchrules import MatchRules, plan
from tests.support.calls import as_bytes

KEY = "sk-" + "proj-" + "a1B2" * 10


def left(body: object, *profiles: str, **rules: Any) -> object:
    return body_under_rules(read_body(as_bytes(body)), plan(MatchRules(**rules), profiles)).value


@pytest.mark.parametrize(
    ("url", "canonical"),
    [
        ("HTTPS://API.Example.com:443/v1?a=1", "https://api.example.com/v1?a=1"),
        ("http://h:80/", "http://h/"),
        ("http://h:443/x", "http://h:443/x"),
        ("https://[::1]:8443/x", "https://[::1]:8443/x"),
        ("https://h", "https://h/"),
        ("https://h?", "https://h/"),
        ("https://h?a=/b", "https://h/?a=/b"),
        ("https://h/a%7eb%3ac/%2f", "https://h/a~b%3Ac/%2F"),
        ("https://h/x?q=%c3%a9#there", "https://h/x?q=%C3%A9"),
        ("https://me:hush@h/x", "https://h/x"),
        ("https://h/x?key=hush&alt=sse", "https://h/x?key=REDACTED&alt=sse"),
        ("nonsense", "nonsense"),
    ],
)
def test_url_has_one_spelling(url: str, canonical: str) -> None:
    assert canonical_url(url) == canonical
    assert canonical_url(canonical) == canonical


def test_very_long_url_is_spelled_like_any_other() -> None:
    tail = "x" * 5000
    assert canonical_url(f"HTTPS://H:443/{tail}") == f"https://h/{tail}"


def test_reserved_characters_and_their_escapes_are_different_urls() -> None:
    assert canonical_url("https://h/a%2Fb") != canonical_url("https://h/a/b")
    assert canonical_url("https://h/A") != canonical_url("https://h/a")


def test_query_under_rules_has_no_order_and_no_ignored_parameters() -> None:
    rules = MatchRules(ignore_query=("api-version", "Trace"))
    url = "https://h/x?b=2&api-version=1&a=1&b=1&trace=9&Api%2DVersion=3"
    assert url_under_rules(url, rules) == "https://h/x?a=1&b=2&b=1"
    assert url_under_rules("https://h/x?trace=1", rules) == "https://h/x"


def test_request_is_kept_without_its_credentials() -> None:
    headers = (("Authorization", "Bearer hush"), ("CONTENT-TYPE", "application/x-www-form-urlencoded"))
    request = redacted_request("POST", "https://h/x?key=hush", headers, b"client_secret=hush&a=1")
    assert request.url == "https://h/x?key=REDACTED"
    assert request.body == b"client_secret=REDACTED&a=1"
    assert content_type_of(request) == "application/x-www-form-urlencoded"
    assert "hush" not in repr(request)


def test_exact_key_holds_the_body_itself() -> None:
    request = redacted_request("POST", "https://h/x", (), b"a body that is not copied")
    assert exact_key(request)[2] is request.body


def test_text_without_a_key_is_the_same_text() -> None:
    text = "an é and \ud800 and no key"
    assert redact_values(text) is text
    assert redact_values(f"é {KEY} é") == "é REDACTED é"


def test_ignored_place_is_gone() -> None:
    body = {"a": 1, "b": {"c": 2, "d": 3}, "e": [{"f": 1, "g": 2}, {"f": 3, "g": 4}]}
    assert left(body, ignore_paths=("a", "b.c", "e[*].f")) == {"b": {"d": 3}, "e": [{"g": 2}, {"g": 4}]}


def test_object_of_which_nothing_is_left_is_gone_too() -> None:
    body = {
        "options": {"padding": True},
        "list": [{"text": "x"}, {"point": {"type": "default"}}],
        "empty": {},
    }
    assert left(body, ignore_paths=("options.padding", "list[*].point")) == {
        "list": [{"text": "x"}],
        "empty": {},
    }
    assert left({"a": 1}, ignore_paths=("a",)) == {}


def test_body_is_not_changed_where_it_stands() -> None:
    body = read_body(b'{"user": "u", "messages": [{"tool_call_id": "c", "role": "tool", "content": "x"}]}')
    before = body.text
    assert body_under_rules(body, plan(MatchRules(), ("openai-chat",))).text != before
    assert body.text == before


def test_ids_are_numbered_by_first_appearance() -> None:
    def talk(first: str, second: str, answered: str) -> dict[str, object]:
        calls = [{"id": first, "function": {}}, {"id": second, "function": {}}]
        return {
            "messages": [{"tool_calls": calls}, {"tool_call_id": answered, "content": "3", "role": "tool"}]
        }

    one = left(talk("call_a", "call_b", "call_b"), "openai-chat")
    assert one == left(talk("call_y", "call_x", "call_x"), "openai-chat")
    assert one == talk("<id-1>", "<id-2>", "<id-2>")
    assert one != left(talk("call_a", "call_b", "call_a"), "openai-chat")
    assert one != left(talk("call_a", "call_a", "call_a"), "openai-chat")
    assert one != left(talk("call_a", "call_b", "call_c"), "openai-chat")


def test_number_of_an_id_does_not_depend_on_the_order_of_names() -> None:
    a = b'{"input": [{"id": "rs_1", "call_id": "c_1", "name": "f"}, {"call_id": "c_1", "output": "", "id": "o"}]}'
    b = b'{"input": [{"name": "f", "call_id": "c_9", "id": "rs_9"}, {"id": "p", "output": "", "call_id": "c_9"}]}'
    assert left(a, "openai-responses") == left(b, "openai-responses")


def test_volatile_texts_are_replaced_wherever_they_stand() -> None:
    rules = {"volatile": ("uuid", "date", "timestamp"), "patterns": (("build", r"b[0-9]+"),)}
    uuids = [f"{digit * 8}-aaaa-bbbb-cccc-{digit * 12}" for digit in "12"]
    text = f"{uuids[1]} {uuids[0]} {uuids[1]} on 2026-08-01 at 2026-08-01T10:00Z in b17"
    expected = "<uuid-1> <uuid-2> <uuid-1> on <date> at <timestamp> in <build>"
    assert left({"x": [text]}, **rules) == {"x": [expected]}
    assert left(text.encode(), **rules) == expected
    assert left({uuids[0]: 1}, **rules) == {uuids[0]: 1}


def test_checksum_of_bytes_is_no_text() -> None:
    body = Body(Kind.BINARY, read_body(b"\xff\x00").value)
    assert body_under_rules(body, plan(MatchRules(patterns=(("hex", "[0-9a-f]+"),)), ())) == body


def test_pattern_is_named_as_it_is_shown() -> None:
    assert re.fullmatch("<mine>", str(left(b"zz", patterns=(("mine", "zz"),))))
