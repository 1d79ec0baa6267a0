"""Form values by the rules of Go's ParseForm. The expected values were printed by Go 1.26."""

from __future__ import annotations

import pytest

from cassette.forms import MAX_BODY, MAX_PAIRS, is_form, parse_form
from cassette.model import Values

FORM = "application/x-www-form-urlencoded"
URL = "https://api.example.com/v1"


def of_query(query: str) -> Values:
    return parse_form("GET", f"{URL}?{query}", "", b"")


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE", "OPTIONS", "QUERY"])
def test_the_query_is_read_with_every_method(method: str) -> None:
    assert parse_form(method, f"{URL}?api-version=1", "", b"") == {"api-version": ("1",)}


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_values_of_the_body_stand_before_those_of_the_query(method: str) -> None:
    form = parse_form(method, f"{URL}?a=9&q=2", FORM, b"a=1&a=2&b")
    assert form == {"a": ("1", "2", "9"), "b": ("",), "q": ("2",)}


@pytest.mark.parametrize("method", ["GET", "DELETE", "HEAD", "QUERY", "post"])
def test_the_body_is_read_with_no_other_method(method: str) -> None:
    assert parse_form(method, f"{URL}?a=9", FORM, b"a=1") == {"a": ("9",)}


@pytest.mark.parametrize("content_type", ["", "application/json", "multipart/form-data; boundary=b"])
def test_a_body_of_another_type_adds_nothing(content_type: str) -> None:
    assert parse_form("POST", URL, content_type, b"a=1") == {}


def test_case_and_parameters_of_the_content_type_do_not_matter() -> None:
    assert is_form("Application/X-WWW-Form-Urlencoded ; charset=utf-8")
    assert not is_form("application/x-www-form-urlencoded-not")


def test_plus_and_escapes_are_undone_in_keys_and_values() -> None:
    assert of_query("a+b%20c=%20+x&%61=1") == {"a b c": ("  x",), "a": ("1",)}


def test_empty_pairs_are_skipped_and_an_empty_key_is_not() -> None:
    assert of_query("&&n&=v&m=&") == {"n": ("",), "": ("v",), "m": ("",)}


def test_only_the_first_equals_sign_separates() -> None:
    assert of_query("a=b=c") == {"a": ("b=c",)}


def test_a_pair_with_a_semicolon_is_left_out_and_the_others_kept() -> None:
    assert of_query("a=1;b=2&c=3") == {"c": ("3",)}


@pytest.mark.parametrize("broken", ["a=%zz", "%2=1", "a=%", "a=%4", "%g0"])
def test_a_pair_with_a_broken_escape_is_left_out_and_the_others_kept(broken: str) -> None:
    assert of_query(f"{broken}&c=3") == {"c": ("3",)}


def test_bytes_that_are_not_utf_8_become_lone_surrogates() -> None:
    assert of_query("%ff=a\udcfeb") == {"\udcff": ("a\udcfeb",)}


def test_the_query_begins_at_the_first_question_mark() -> None:
    assert of_query("a=1?b=2") == {"a": ("1?b=2",)}


def test_a_url_without_query_has_no_form() -> None:
    assert parse_form("GET", URL, "", b"") == of_query("") == {}


def test_parts_past_the_limits_of_go_add_nothing() -> None:
    at_limit, past_limit = b"a=1&" * (MAX_PAIRS - 1), b"a=1&" * MAX_PAIRS
    assert parse_form("POST", f"{URL}?k=1", FORM, at_limit) == {"a": ("1",) * (MAX_PAIRS - 1), "k": ("1",)}
    assert parse_form("POST", f"{URL}?k=1", FORM, past_limit) == {"k": ("1",)}
    assert parse_form("POST", f"{URL}?k=1", FORM, b"a=" + b"x" * (MAX_BODY - 1)) == {"k": ("1",)}
