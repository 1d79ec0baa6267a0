"""What a body is read as, which bodies are equal, and which must not be."""

from __future__ import annotations

import gzip
import json

import pytest
import zstandard

from cassette.bodies import MAX_DEPTH, Blob, Kind, Literal, read_body

FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=%s"


def same(a: bytes, b: bytes, type_a: str = "", type_b: str = "") -> bool:
    one, other = read_body(a, type_a), read_body(b, type_b)
    return (one.kind, one.text) == (other.kind, other.text)


def multipart(boundary: str, *parts: tuple[str, bytes]) -> bytes:
    pieces = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode() + content + b"\r\n"
        for name, content in parts
    ]
    return b"".join(pieces) + f"--{boundary}--\r\n".encode()


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", Kind.NONE),
        (b"{}", Kind.JSON),
        (b"\xef\xbb\xbf \r\n[1]", Kind.JSON),
        (b"a=1", Kind.FORM),
        (b"hello", Kind.TEXT),
        (b"a = 1", Kind.TEXT),
        (b"\xff\xd8", Kind.BINARY),
        (multipart("x", ("a", b"1")), Kind.MULTIPART),
    ],
)
def test_body_without_content_type_tells_its_kind(body: bytes, kind: Kind) -> None:
    assert read_body(body).kind is kind


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (b'{"a":1,"b":[{"c":2,"d":3}]}', b'{ "b" : [ {"d":3,\r\n"c":2} ], "a":1 }\n'),
        (b'["a\\r\\nb"]', b'["a\\nb"]'),
        (b'["a\\u000d\\u000ab"]', b'["a\\nb"]'),
        (b'["a\r\nb"]', b'["a\nb"]'),
        (b"[1]", b"[1.0]"),
        (b"[100]", b"[1e2]"),
        (b"[0]", b"[-0.0]"),
        (b"[0.7]", b"[0.70]"),
        (b"[0.1234567890123456789012345]", b"[0.12345678901234567890123450]"),
        (b"[1e-500]", b"[10e-501]"),
        (b'["\\u00e9"]', '["é"]'.encode()),
        (b'["\\/"]', b'["/"]'),
    ],
)
def test_bodies_are_equal_as_json(a: bytes, b: bytes) -> None:
    assert same(a, b)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (b"[1]", b'["1"]'),
        (b"[1]", b"[true]"),
        (b"[null]", b'["null"]'),
        (b"[null]", b"[]"),
        (b"{}", b"[]"),
        (b"[1,2]", b"[2,1]"),
        (b"[12345678901234567890]", b"[12345678901234567891]"),
        (b"[9007199254740993]", b"[9007199254740992.0]"),
        (b"[0.1]", b"[0.1000000000000000055511151231257827]"),
        (b"[1e400]", b"[1e401]"),
        (b"[1e400]", b"[1e500]"),
        (b"[NaN]", b"[Infinity]"),
        (b"[NaN]", b'["NaN"]'),
        (b"[NaN]", b'[[NaN,"NaN"]]'),
        (b'["\\ud800"]', b'["\\ud801"]'),
        (b'["a\\rb"]', b'["a\\nb"]'),
        (b'["\\\\r\\\\n"]', b'["\\\\n"]'),
        (b'{"a":1,"a":2}', b'{"a":2}'),
        (b'{"a":1,"a":2}', b'{"a":2,"a":1}'),
        (b'{"a":null}', b"{}"),
        (b"{}", b""),
    ],
)
def test_bodies_are_not_equal_as_json(a: bytes, b: bytes) -> None:
    assert not same(a, b)


def test_number_keeps_every_digit() -> None:
    assert read_body(b"[0.12345678901234567890]").value == [Literal("1234567890123456789e-19")]
    assert read_body(b"[-1e999]").value == [Literal("-1e999")]
    assert read_body(b"[1e99999999999999999999]").value == [Literal("1e99999999999999999999")]


def test_integer_of_many_thousand_digits_is_a_text() -> None:
    assert read_body(b"[" + b"1" * 10_000 + b"]").kind is Kind.TEXT


def test_json_that_is_nested_too_deep_is_a_text() -> None:
    deep = b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1)
    assert read_body(deep[1:-1]).kind is Kind.JSON
    assert read_body(deep).kind is Kind.TEXT
    assert read_body(b"[" * 100_000).kind is Kind.TEXT
    assert read_body(b"[" + b"[]," * MAX_DEPTH + b"[]]").kind is Kind.JSON


def test_json_that_is_cut_is_a_text() -> None:
    assert read_body(b'{"a": "b').kind is Kind.TEXT


def test_form_is_equal_whatever_its_escapes_and_the_order_of_its_names() -> None:
    assert same(b"a=x+y&b=2", b"b=%32&a=x%20y", FORM, FORM)
    assert same(b"a=1&a=2", b"a=1&a=2", FORM + "; charset=UTF-8")
    assert not same(b"a=1&a=2", b"a=2&a=1", FORM, FORM)
    assert not same(b"a=%26b%3D1", b"a=&b=1", FORM, FORM)


def test_form_and_json_of_the_same_fields_are_different_requests() -> None:
    form, as_json = read_body(b"a=1", FORM), read_body(b'{"a": ["1"]}')
    assert form.value == as_json.value
    assert form.kind is not as_json.kind


def test_text_that_looks_like_a_form_is_none_when_its_type_says_so() -> None:
    assert read_body(b"a=1", "text/plain").kind is Kind.TEXT


def test_credential_in_a_form_is_not_in_what_is_read() -> None:
    assert read_body(b"client_secret=hush&a=1", FORM).value == {"client_secret": ["REDACTED"], "a": ["1"]}


def test_boundary_of_multipart_makes_no_difference() -> None:
    parts = (("file", b"\xff\x00 bytes"), ("model", b"whisper-1"))
    a, b = multipart("aaa", *parts), multipart("bbb-2", *parts)
    assert same(a, b, MULTIPART % "aaa", MULTIPART % '"bbb-2"')
    assert same(a, b)
    assert same(a, b, MULTIPART % "aaa")


def test_multipart_with_another_part_is_another_body() -> None:
    a = multipart("x", ("model", b"whisper-1"), ("file", b"\xff\x01"))
    assert not same(a, multipart("x", ("model", b"whisper-2"), ("file", b"\xff\x01")))
    assert not same(a, multipart("x", ("model", b"whisper-1"), ("file", b"\xff\x02")))
    assert not same(a, multipart("x", ("module", b"whisper-1"), ("file", b"\xff\x01")))
    assert not same(a, multipart("x", ("model", b"whisper-1")))


def test_json_within_multipart_is_read() -> None:
    assert same(multipart("x", ("q", b'{"a":1,"b":2}')), multipart("y", ("q", b'{"b": 2, "a": 1.0}')))


def test_multipart_that_is_cut_is_no_multipart() -> None:
    whole = multipart("x", ("a", b"1"))
    assert read_body(whole[:-4], MULTIPART % "x").kind is Kind.TEXT
    assert read_body(b"--x\r\nno header\r\n--x--", MULTIPART % "x").kind is Kind.TEXT


def test_line_ends_of_a_text_make_no_difference() -> None:
    assert same(b"a\r\nb", b"a\nb")
    assert not same(b"a\rb", b"a\nb")


def test_bytes_that_are_no_text_are_compared_as_they_are() -> None:
    assert not same(b"\xff\r\n", b"\xff\n")
    value = read_body(b"\xff\r\n").value
    assert isinstance(value, Blob)
    assert value.size == 3


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.ZstdCompressor().compress])
def test_compressed_body_is_read(compress: object) -> None:
    value = {"model": "m", "input": "x" * 100}
    body = json.dumps(value).encode()
    assert callable(compress)
    assert read_body(compress(body)).value == value


def test_broken_compressed_body_is_compared_as_it_was_sent() -> None:
    broken = gzip.compress(b"{}")[:-6]
    assert read_body(broken).kind is Kind.BINARY
