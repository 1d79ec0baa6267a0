from __future__ import annotations

from urllib.parse import parse_qsl, quote

from hypothesis import given
from hypothesis import strategies as st

from cassette.credentials import (
    REDACTED,
    SECRET_QUERY_KEYS,
    is_secret_query_key,
    is_secret_request_header,
    is_secret_response_header,
    redact_form_body,
    redact_url,
)

# Letters that no encoding changes, so that a value which stayed is found again.
VALUES = st.text("ghjkmnpqrtuvwxyz", min_size=8, max_size=12).map("secret-{}".format)
HARMLESS_KEYS = st.sampled_from(["alt", "model", "beta", "api-version", "max_tokens", "q", ""])


@st.composite
def secret_keys(draw: st.DrawFn) -> str:
    """A secret key in any case, any of its characters percent-encoded."""
    key = draw(st.sampled_from(sorted(SECRET_QUERY_KEYS)))
    return "".join(
        draw(
            st.sampled_from(
                [c, c.upper(), f"%{ord(c):02x}", f"%{ord(c.upper()):02X}"],
            )
        )
        for c in key
    )


def pairs(keys: st.SearchStrategy[str]) -> st.SearchStrategy[list[tuple[str, str]]]:
    return st.lists(st.tuples(keys, VALUES), max_size=6)


@given(st.text())
def test_redacting_a_url_twice_changes_nothing_more(url: str) -> None:
    assert redact_url(redact_url(url)) == redact_url(url)


@given(st.binary())
def test_redacting_a_form_twice_changes_nothing_more(body: bytes) -> None:
    assert redact_form_body(redact_form_body(body)) == redact_form_body(body)


@given(pairs(HARMLESS_KEYS), pairs(secret_keys()), st.randoms())
def test_no_secret_value_is_left_and_no_other_is_touched(
    harmless: list[tuple[str, str]], secret: list[tuple[str, str]], random: object
) -> None:
    both = [(pair, False) for pair in harmless] + [(pair, True) for pair in secret]
    random.shuffle(both)  # type: ignore[attr-defined]
    before = "&".join(f"{key}={value}" for (key, value), _ in both)
    after = "&".join(f"{key}={REDACTED if is_secret else value}" for (key, value), is_secret in both)
    assert redact_url(f"https://example.com/v1?{before}") == f"https://example.com/v1?{after}"
    assert redact_form_body(before.encode()) == after.encode()


@given(st.lists(st.tuples(st.text(max_size=8), st.text(max_size=8)), max_size=5))
def test_a_query_keeps_its_fields_but_for_secret_values(fields: list[tuple[str, str]]) -> None:
    query = "&".join(f"{quote(key, safe='')}={quote(value, safe='')}" for key, value in fields)
    expected = [(k, REDACTED if v and is_secret_query_key(quote(k, safe="")) else v) for k, v in fields]
    after = redact_url(f"https://example.com/?{query}").partition("?")[2]
    assert parse_qsl(after, keep_blank_values=True) == expected
    form = redact_form_body(query.encode()).decode()
    assert parse_qsl(form, keep_blank_values=True) == expected


@given(st.text("abcdefghijklmnopqrstuvwxyz-_", max_size=30), st.randoms())
def test_the_case_of_a_name_does_not_matter(name: str, random: object) -> None:
    mixed = "".join(random.choice([c, c.upper()]) for c in name)  # type: ignore[attr-defined]
    assert is_secret_request_header(mixed) == is_secret_request_header(name)
    assert is_secret_response_header(mixed) == is_secret_response_header(name)
    assert is_secret_query_key(mixed) == is_secret_query_key(name)
