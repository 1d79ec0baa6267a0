"""Names, lengths and status texts as Go has them. The expected values were printed by Go 1.26."""

from __future__ import annotations

import pytest

from cassette.gohttp import (
    authority,
    canonical_name,
    group_headers,
    header_values,
    list_elements,
    parse_content_length,
    parse_version,
    status_text,
    ungroup_headers,
)

STATUS_TEXTS = """
100 Continue
101 Switching Protocols
102 Processing
103 Early Hints
200 OK
201 Created
202 Accepted
203 Non-Authoritative Information
204 No Content
205 Reset Content
206 Partial Content
207 Multi-Status
208 Already Reported
226 IM Used
300 Multiple Choices
301 Moved Permanently
302 Found
303 See Other
304 Not Modified
305 Use Proxy
307 Temporary Redirect
308 Permanent Redirect
400 Bad Request
401 Unauthorized
402 Payment Required
403 Forbidden
404 Not Found
405 Method Not Allowed
406 Not Acceptable
407 Proxy Authentication Required
408 Request Timeout
409 Conflict
410 Gone
411 Length Required
412 Precondition Failed
413 Request Entity Too Large
414 Request URI Too Long
415 Unsupported Media Type
416 Requested Range Not Satisfiable
417 Expectation Failed
418 I'm a teapot
421 Misdirected Request
422 Unprocessable Entity
423 Locked
424 Failed Dependency
425 Too Early
426 Upgrade Required
428 Precondition Required
429 Too Many Requests
431 Request Header Fields Too Large
451 Unavailable For Legal Reasons
500 Internal Server Error
501 Not Implemented
502 Bad Gateway
503 Service Unavailable
504 Gateway Timeout
505 HTTP Version Not Supported
506 Variant Also Negotiates
507 Insufficient Storage
508 Loop Detected
510 Not Extended
511 Network Authentication Required
"""


def test_every_status_text_is_the_one_of_go() -> None:
    expected = {int(line[:3]): line[4:] for line in STATUS_TEXTS.strip().splitlines()}
    assert {code: status_text(code) for code in range(1000) if status_text(code)} == expected


def test_a_code_that_nobody_registered_has_no_text() -> None:
    assert status_text(599) == status_text(0) == status_text(-1) == ""


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("content-type", "Content-Type"),
        ("WWW-authenticate", "Www-Authenticate"),
        ("ETAG", "Etag"),
        ("x_foo-BAR.baz", "X_foo-Bar.baz"),
        ("x--y-", "X--Y-"),
        ("3d-x", "3d-X"),
        ("x foo", "x foo"),
        ("x-sch\xf6n", "x-sch\xf6n"),
        ("x-\udcff", "x-\udcff"),
        ("x:y", "x:y"),
        ("x\n", "x\n"),
        ("", ""),
    ],
)
def test_a_name_gets_the_case_of_go_unless_it_is_no_token(name: str, canonical: str) -> None:
    assert canonical_name(name) == canonical


def test_values_of_one_name_are_grouped_in_order_whatever_its_case() -> None:
    pairs = (("x-a", "1"), ("Accept", "*/*"), ("X-A", "2"))
    assert group_headers(pairs) == {"X-A": ["1", "2"], "Accept": ["*/*"]}
    assert header_values(pairs) == {"X-A": ("1", "2"), "Accept": ("*/*",)}
    assert ungroup_headers(group_headers(pairs)) == (("X-A", "1"), ("X-A", "2"), ("Accept", "*/*"))


def test_elements_of_a_list_are_trimmed_and_empty_ones_left_out() -> None:
    assert list_elements(["a,\t b ,,", "", "c"]) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("values", "length"),
    [
        (["12"], 12),
        (["0"], 0),
        ([" 7\t", "7"], 7),
        (["9223372036854775807"], 2**63 - 1),
        (["0" * 5000 + "5"], 5),
        (["9223372036854775808"], None),
        (["9" * 5000], None),
        (["7", "8"], None),
        (["7, 7"], None),
        (["+7"], None),
        (["-1"], None),
        (["1_0"], None),
        (["\u0661"], None),
        ([""], None),
        ([], None),
    ],
)
def test_a_content_length_is_decimal_digits_that_agree(values: list[str], length: int | None) -> None:
    assert parse_content_length(values) == length


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("HTTP/1.0", ("HTTP/1.0", 1, 0)),
        ("HTTP/1.1", ("HTTP/1.1", 1, 1)),
        ("HTTP/2.0", ("HTTP/2.0", 2, 0)),
        ("HTTP/2", ("HTTP/2.0", 2, 0)),
        ("HTTP/3", ("HTTP/3.0", 3, 0)),
        ("ICY", ("ICY", 0, 0)),
    ],
)
def test_a_version_is_its_name_and_its_numbers(text: str, version: tuple[str, int, int]) -> None:
    assert parse_version(text) == version


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://API.example.com/v1?a=@x", "API.example.com"),
        ("https://api.example.com:8443/v1", "api.example.com:8443"),
        ("http://[::1]:8080/", "[::1]:8080"),
        ("https://user@api.example.com?x=/", "api.example.com"),
        ("https://api.example.com#@x", "api.example.com"),
        ("https://api.example.com", "api.example.com"),
        ("nonsense", ""),
    ],
)
def test_the_authority_of_a_url_is_host_and_port_as_they_stand_there(url: str, expected: str) -> None:
    assert authority(url) == expected
