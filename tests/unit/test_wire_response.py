"""Responses as go-vcr would have recorded them.

The expected values were recorded by go-vcr 4.0.7 under Go 1.26, from servers that sent exactly these bytes.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Mapping

import brotli
import pytest
import zstandard

from cassette.exchange import Exchange, HeaderPairs, Outcome
from cassette.headerfilter import HeaderRules, HostFilter
from cassette.model import Response
from cassette.wire_response import recorded_response
from tests.support.exchanges import an_exchange

KEEP_ALL = HostFilter(HeaderRules(), HeaderRules(keep=("*",)))
TEXT = b"hello text"


def response_of(exchange: Exchange, *, max_body: int = 1 << 20) -> Response:
    return recorded_response(exchange, KEEP_ALL, max_body)


# The response's head


@pytest.mark.parametrize(
    ("version", "proto"),
    [("HTTP/1.0", ("HTTP/1.0", 1, 0)), ("HTTP/1.1", ("HTTP/1.1", 1, 1)), ("HTTP/2.0", ("HTTP/2.0", 2, 0))],
)
def test_the_proto_of_a_response_is_that_of_the_wire(version: str, proto: tuple[str, int, int]) -> None:
    response = response_of(an_exchange(version=version))
    assert (response.proto, response.proto_major, response.proto_minor) == proto


@pytest.mark.parametrize(
    ("version", "code", "reason", "status"),
    [
        ("HTTP/1.1", 200, "OK", "200 OK"),
        ("HTTP/1.1", 418, "Some  thing else", "418 Some  thing else"),
        ("HTTP/1.1", 200, "", "200 "),
        ("HTTP/1.1", 599, "Weird", "599 Weird"),
        ("HTTP/2.0", 200, "", "200 OK"),
        ("HTTP/2.0", 418, "", "418 I'm a teapot"),
        ("HTTP/2.0", 422, "", "422 Unprocessable Entity"),
        ("HTTP/2.0", 599, "", "599 "),
    ],
)
def test_the_status_is_the_reason_of_the_wire_or_on_http_2_gos_own(
    version: str, code: int, reason: str, status: str
) -> None:
    response = response_of(an_exchange(version=version, code=code, reason=reason))
    assert (response.status, response.code) == (status, code)


LENGTH = ("content-length", "7")
CHUNKED = ("transfer-encoding", "Chunked")


@pytest.mark.parametrize(
    ("version", "method", "code", "headers", "length"),
    [
        ("HTTP/1.1", "GET", 200, (LENGTH,), 7),
        ("HTTP/1.1", "GET", 200, (), -1),
        ("HTTP/1.0", "GET", 200, (), -1),
        ("HTTP/1.1", "GET", 200, (CHUNKED,), -1),
        ("HTTP/1.1", "GET", 200, (CHUNKED, LENGTH), -1),
        ("HTTP/1.0", "GET", 200, (CHUNKED, LENGTH), 7),
        ("HTTP/1.1", "GET", 204, (LENGTH,), 0),
        ("HTTP/1.1", "GET", 204, (CHUNKED,), 0),
        ("HTTP/1.1", "GET", 304, (LENGTH,), 0),
        ("HTTP/1.1", "HEAD", 200, (LENGTH,), 7),
        ("HTTP/1.1", "HEAD", 200, (CHUNKED, LENGTH), 7),
        ("HTTP/1.1", "HEAD", 200, (), -1),
        ("HTTP/1.1", "HEAD", 204, (), -1),
        ("HTTP/1.1", "HEAD", 304, (LENGTH,), 7),
        ("HTTP/2.0", "GET", 200, (), 0),
        ("HTTP/2.0", "GET", 204, (), 0),
        ("HTTP/2.0", "HEAD", 200, (LENGTH,), 7),
        ("HTTP/2.0", "HEAD", 200, (), -1),
    ],
)
def test_the_length_of_an_answer_without_a_byte_of_body(
    version: str, method: str, code: int, headers: HeaderPairs, length: int
) -> None:
    exchange = an_exchange(version=version, method=method, code=code, headers=headers)
    assert response_of(exchange).content_length == length


@pytest.mark.parametrize(
    ("headers", "trailers", "length"),
    [
        ((), (), -1),
        ((("content-length", "2"),), (), 2),
        ((("content-length", "2"), ("content-length", "2")), (), -1),
        ((("content-length", "two"),), (), -1),
        ((), (("grpc-status", "0"),), -1),
    ],
)
def test_the_length_of_an_http_2_body_is_the_header_or_unknown(
    headers: HeaderPairs, trailers: HeaderPairs, length: int
) -> None:
    exchange = an_exchange(version="HTTP/2.0", headers=headers, body=b"hi", trailers=trailers)
    assert response_of(exchange).content_length == length


def test_trailers_of_an_empty_http_2_answer_show_that_its_length_was_unknown() -> None:
    exchange = an_exchange(version="HTTP/2.0", trailers=(("grpc-status", "0"),))
    assert response_of(exchange).content_length == -1


def test_chunked_is_recorded_on_http_1_1_only() -> None:
    recorded = {
        version: response_of(an_exchange(version=version, headers=(CHUNKED,), body=b"hi")).transfer_encoding
        for version in ("HTTP/1.0", "HTTP/1.1", "HTTP/2.0")
    }
    assert recorded["HTTP/1.0"] == recorded["HTTP/2.0"] == ()
    assert recorded["HTTP/1.1"] == ("chunked",)


@pytest.mark.parametrize(
    ("version", "wire", "recorded"),
    [
        ("HTTP/1.1", (("x-a", "1"), ("X-a", "2")), {"X-A": ("1", "2")}),
        ("HTTP/1.1", (("Content-Length", "2"), ("content-length", " 2 ")), {"Content-Length": ("2",)}),
        ("HTTP/1.1", (CHUNKED, ("Content-Length", "99")), {}),
        ("HTTP/1.1", (("Connection", "close"),), {}),
        ("HTTP/1.1", (("Connection", "Keep-Alive, Close"), ("Connection", "foo")), {}),
        ("HTTP/1.0", (("Connection", "close"),), {"Connection": ("close",)}),
        (
            "HTTP/1.1",
            (("Connection", "keep-alive"), ("Keep-Alive", "timeout=5")),
            {"Connection": ("keep-alive",), "Keep-Alive": ("timeout=5",)},
        ),
        (
            "HTTP/1.1",
            (("Trailer", "X-One"), ("Content-Length", "2")),
            {"Trailer": ("X-One",), "Content-Length": ("2",)},
        ),
        ("HTTP/1.0", (CHUNKED, ("Trailer", "X")), {"Trailer": ("X",)}),
        ("HTTP/2.0", (("trailer", "x-one"),), {}),
        ("HTTP/1.1", (("pragma", "no-cache"),), {"Pragma": ("no-cache",), "Cache-Control": ("no-cache",)}),
        (
            "HTTP/1.1",
            (("Pragma", "no-cache"), ("Cache-Control", "x")),
            {"Pragma": ("no-cache",), "Cache-Control": ("x",)},
        ),
        ("HTTP/1.1", (("Pragma", "No-Cache"),), {"Pragma": ("No-Cache",)}),
        ("HTTP/2.0", (("pragma", "no-cache"),), {"Pragma": ("no-cache",)}),
        ("HTTP/1.1", (("x foo", "1"), ("x-\udcff", "h\udcff")), {"x foo": ("1",), "x-\udcff": ("h\udcff",)}),
    ],
)
def test_response_headers_are_those_that_gos_transport_leaves(
    version: str, wire: HeaderPairs, recorded: Mapping[str, tuple[str, ...]]
) -> None:
    assert response_of(an_exchange(version=version, headers=wire, body=b"hi")).headers == recorded


@pytest.mark.parametrize(("version", "headers"), [("HTTP/1.1", (CHUNKED,)), ("HTTP/2.0", ())])
def test_trailers_are_recorded_and_announced_ones_that_did_not_come_have_no_value(
    version: str, headers: HeaderPairs
) -> None:
    exchange = an_exchange(
        version=version,
        headers=(*headers, ("trailer", "x-one, X-two,, "), ("trailer", "x-three")),
        body=b"hi",
        trailers=(("x-one", "1"), ("X-One", "1b"), ("x-four", "4")),
    )
    response = response_of(exchange)
    assert response.trailer == {"X-One": ("1", "1b"), "X-Two": (), "X-Three": (), "X-Four": ("4",)}
    assert response.headers == {}


def test_a_credential_in_a_trailer_is_redacted() -> None:
    exchange = an_exchange(headers=(CHUNKED,), body=b"hi", trailers=(("set-cookie", "hidden"),))
    assert response_of(exchange).trailer == {"Set-Cookie": ("REDACTED",)}


def test_the_duration_ends_with_the_head_of_the_response() -> None:
    assert response_of(an_exchange(started_at_ns=1_000, response_at_ns=325_000)).duration_ns == 324_000
    assert response_of(an_exchange(started_at_ns=2, response_at_ns=1)).duration_ns == 0


# The response's body


def coded(coding: str, body: bytes, *more: tuple[str, str]) -> HeaderPairs:
    return (("content-encoding", coding), ("content-length", str(len(body))), *more)


@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/2.0"])
@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", gzip.compress(TEXT)),
        ("GZip", gzip.compress(TEXT)),
        ("x-gzip", gzip.compress(TEXT)),
        ("br", brotli.compress(TEXT)),
        ("zstd", zstandard.compress(TEXT)),
        ("deflate", zlib.compress(TEXT)),
        ("gzip, br", brotli.compress(gzip.compress(TEXT))),
    ],
    ids=["gzip", "GZip", "x-gzip", "br", "zstd", "deflate", "list"],
)
def test_a_coded_body_is_recorded_as_text(version: str, coding: str, body: bytes) -> None:
    exchange = an_exchange(version=version, headers=coded(coding, body, ("etag", "e")), body=body)
    response = response_of(exchange)
    assert (response.body, response.content_length, response.uncompressed) == (TEXT, -1, True)
    assert response.headers == {"Etag": ("e",)}


def test_a_decoded_body_keeps_its_chunked_framing_and_its_trailers() -> None:
    exchange = an_exchange(
        headers=(("Content-Encoding", "gzip"), CHUNKED, ("Trailer", "X-One")),
        body=gzip.compress(TEXT),
        trailers=(("X-One", "1"),),
    )
    response = response_of(exchange)
    assert (response.body, response.transfer_encoding) == (TEXT, ("chunked",))
    assert response.trailer == {"X-One": ("1",)}


def test_a_coding_header_that_was_sent_twice_is_undone_once() -> None:
    body = gzip.compress(TEXT)
    response = response_of(
        an_exchange(headers=(*coded("gzip", body), ("Content-Encoding", "gzip")), body=body)
    )
    assert (response.body, response.headers) == (TEXT, {})


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", b"plain"),
        ("gzip", gzip.compress(TEXT)[:-1]),
        ("gzip", gzip.compress(TEXT) + b"x"),
        ("compress", TEXT),
        ("gzip", gzip.compress(bytes(2000))),
    ],
    ids=["plain", "cut", "garbage", "unknown", "past the limit"],
)
def test_a_body_that_cannot_be_decoded_is_recorded_as_it_was_sent(coding: str, body: bytes) -> None:
    response = response_of(an_exchange(headers=coded(coding, body), body=body), max_body=1000)
    assert (response.body, response.content_length, response.uncompressed) == (body, len(body), False)
    assert response.headers == {"Content-Encoding": (coding,), "Content-Length": (str(len(body)),)}


def test_identity_is_no_coding_and_its_header_stays() -> None:
    response = response_of(an_exchange(headers=coded("identity", b"hi"), body=b"hi"))
    assert (response.body, response.content_length, response.uncompressed) == (b"hi", 2, False)
    assert response.headers == {"Content-Encoding": ("identity",), "Content-Length": ("2",)}


@pytest.mark.parametrize(
    ("version", "method", "code", "length"),
    [
        ("HTTP/1.1", "HEAD", 200, "7"),
        ("HTTP/1.1", "GET", 204, "7"),
        ("HTTP/1.1", "GET", 304, "7"),
        ("HTTP/1.1", "GET", 200, "0"),
        ("HTTP/2.0", "HEAD", 200, "5"),
        ("HTTP/2.0", "GET", 304, "0"),
    ],
)
def test_an_answer_known_to_be_empty_keeps_its_coding(
    version: str, method: str, code: int, length: str
) -> None:
    headers = (("content-encoding", "gzip"), ("content-length", length))
    response = response_of(an_exchange(version=version, method=method, code=code, headers=headers))
    assert (response.body, response.uncompressed) == (b"", False)
    assert response.headers == {"Content-Encoding": ("gzip",), "Content-Length": (length,)}


def test_an_empty_body_of_unknown_length_is_decoded_to_nothing_on_http_1_only() -> None:
    headers = (("content-encoding", "gzip"),)
    old = response_of(an_exchange(headers=(*headers, CHUNKED)))
    assert (old.body, old.content_length, old.uncompressed, old.headers) == (b"", -1, True, {})
    new = response_of(an_exchange(version="HTTP/2.0", headers=headers))
    assert (new.content_length, new.uncompressed) == (0, False)
    assert new.headers == {"Content-Encoding": ("gzip",)}


# Of exchanges that broke off


def test_the_body_of_an_interrupted_exchange_is_decoded_as_far_as_it_goes() -> None:
    compressor = zlib.compressobj(wbits=31)
    body = compressor.compress(TEXT) + compressor.flush(zlib.Z_SYNC_FLUSH)
    exchange = an_exchange(
        headers=(("content-encoding", "gzip"), CHUNKED), body=body, outcome=Outcome.CLIENT_LEFT
    )
    response = response_of(exchange)
    assert (response.body, response.uncompressed, response.headers) == (TEXT, True, {})


def test_an_interrupted_body_that_is_not_what_its_coding_says_stays_as_it_was_sent() -> None:
    exchange = an_exchange(headers=(("content-encoding", "gzip"),), body=b"plain", outcome=Outcome.CRASHED)
    response = response_of(exchange)
    assert (response.body, response.headers) == (b"plain", {"Content-Encoding": ("gzip",)})


def test_the_length_of_an_interrupted_http_2_answer_is_unknown() -> None:
    exchange = an_exchange(version="HTTP/2.0", outcome=Outcome.UPSTREAM_RESET)
    assert response_of(exchange).content_length == -1
