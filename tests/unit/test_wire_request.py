"""Requests as go-vcr would have recorded them.

The expected values were recorded by go-vcr 4.0.7 under Go 1.26, from servers that sent exactly these bytes.
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping

import pytest

from cassette.exchange import Exchange, HeaderPairs
from cassette.headerfilter import HeaderRules, HostFilter
from cassette.model import Request
from cassette.wire_request import recorded_request
from tests.support.exchanges import an_exchange

KEEP_ALL = HeaderRules(keep=("*",))
FORM = "application/x-www-form-urlencoded"


def request_of(exchange: Exchange, *, rules: HeaderRules = KEEP_ALL, with_host: bool = False) -> Request:
    return recorded_request(exchange, HostFilter(rules, HeaderRules()), with_host=with_host)


def sent(*headers: tuple[str, str], method: str = "GET", version: str = "HTTP/1.1") -> Mapping[str, object]:
    """Return the headers that are recorded of a request that was sent with these."""
    return request_of(an_exchange(method=method, request_version=version, request_headers=headers)).headers


@pytest.mark.parametrize("version", ["HTTP/1.0", "HTTP/1.1", "HTTP/2.0"])
def test_a_request_is_http_1_1_whatever_the_wire_spoke(version: str) -> None:
    request = request_of(an_exchange(request_version=version))
    assert (request.proto, request.proto_major, request.proto_minor) == ("HTTP/1.1", 1, 1)


def test_fields_that_only_a_server_fills_are_empty() -> None:
    exchange = an_exchange(
        request_headers=(("Transfer-Encoding", "chunked"), ("Trailer", "X-T")),
        request_trailers=(("X-T", "1"),),
    )
    request = request_of(exchange)
    assert (request.transfer_encoding, request.trailer) == ((), {})
    assert (request.remote_addr, request.request_uri) == ("", "")
    assert request.headers == {}


def test_the_length_of_a_request_is_that_of_its_body() -> None:
    exchange = an_exchange(method="POST", request_headers=(("content-length", "7"),), request_body=b'{"a":1}')
    assert request_of(exchange).content_length == 7


@pytest.mark.parametrize(
    ("version", "headers"),
    [
        ("HTTP/1.1", (("Transfer-Encoding", "chunked"),)),
        ("HTTP/1.1", (("Transfer-Encoding", "chunked"), ("Content-Length", "3"))),
        ("HTTP/2.0", ()),
    ],
)
def test_a_request_of_unknown_length_has_length_0_and_its_body(version: str, headers: HeaderPairs) -> None:
    exchange = an_exchange(
        method="POST", request_version=version, request_headers=headers, request_body=b"abc"
    )
    request = request_of(exchange)
    assert (request.content_length, request.body) == (0, b"abc")


def test_a_compressed_request_body_is_recorded_as_it_was_sent() -> None:
    body = gzip.compress(b"hey")
    headers = (("Content-Encoding", "gzip"), ("Content-Length", str(len(body))))
    request = request_of(an_exchange(method="POST", request_headers=headers, request_body=body))
    assert (request.body, request.content_length) == (body, len(body))
    assert request.headers == {"Content-Encoding": ("gzip",)}


def test_what_the_transport_adds_to_a_request_is_taken_away() -> None:
    added = sent(
        ("host", "api.example.com"),
        ("content-length", "0"),
        ("transfer-encoding", "chunked"),
        ("connection", "keep-alive"),
        ("keep-alive", "timeout=5"),
        ("te", "trailers"),
        ("trailer", "x-t"),
        ("upgrade", "h2c"),
        ("proxy-connection", "keep-alive"),
        ("PROXY-Authorization", "REDACTED"),
        ("user-agent", "Go-http-client/2.0"),
        ("accept-encoding", "gzip"),
    )
    assert added == {}


def test_what_the_client_set_is_kept_in_canonical_case_and_in_order() -> None:
    kept = sent(("user-agent", "OpenAI/Go 2.7.1"), ("x-a", "1"), ("X-A", "2"), ("expect", "100-continue"))
    assert kept == {"User-Agent": ("OpenAI/Go 2.7.1",), "X-A": ("1", "2"), "Expect": ("100-continue",)}


@pytest.mark.parametrize("value", ["br", "gzip, deflate", "GZIP", "identity"])
def test_an_accept_encoding_other_than_gzip_is_the_clients_own(value: str) -> None:
    assert sent(("Accept-Encoding", value)) == {"Accept-Encoding": (value,)}


def test_accept_encoding_gzip_is_the_clients_own_where_the_transport_does_not_ask_for_it() -> None:
    gzip_only = ("Accept-Encoding", "gzip")
    assert sent(gzip_only, method="HEAD") == {"Accept-Encoding": ("gzip",)}
    with_range = sent(gzip_only, ("range", "bytes=0-1"))
    assert with_range == {"Accept-Encoding": ("gzip",), "Range": ("bytes=0-1",)}


def test_pieces_of_a_cookie_on_http_2_are_one_header_again() -> None:
    rules = HeaderRules(unsafe_keep=("cookie",))
    pieces = (("cookie", "a=1"), ("cookie", "b=2"))
    for version, recorded in (("HTTP/2.0", ("a=1; b=2",)), ("HTTP/1.1", ("a=1", "b=2"))):
        exchange = an_exchange(request_version=version, request_headers=pieces)
        assert request_of(exchange, rules=rules).headers == {"Cookie": recorded}


def test_the_url_is_recorded_as_it_was_asked_for() -> None:
    url = "https://api.example.com:8443/a%2Fb?b=%7B&a=1&flag"
    assert request_of(an_exchange(url=url)).url == url


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://API.example.com/v1?a=@x", "API.example.com"),
        ("https://api.example.com:8443/v1", "api.example.com:8443"),
        ("http://[::1]:8080/", "[::1]:8080"),
        ("https://user@api.example.com?x=/", "api.example.com"),
        ("https://api.example.com", "api.example.com"),
        ("nonsense", ""),
    ],
)
def test_the_host_is_empty_or_the_one_in_the_url(url: str, host: str) -> None:
    assert request_of(an_exchange(url=url)).host == ""
    assert request_of(an_exchange(url=url), with_host=True).host == host


def test_form_holds_the_values_of_the_body_and_then_of_the_query() -> None:
    exchange = an_exchange(
        method="POST",
        url="https://api.example.com/x?a=9&api-version=1",
        request_headers=(("content-type", FORM),),
        request_body=b"a=1",
    )
    assert request_of(exchange).form == {"a": ("1", "9"), "api-version": ("1",)}


def test_credentials_in_url_and_form_that_slipped_past_the_journal_stop_here() -> None:
    exchange = an_exchange(
        method="POST",
        url="https://api.example.com/x?key=hidden-1",
        request_headers=(("content-type", FORM),),
        request_body=b"client_secret=hidden-2&n=1",
    )
    request = request_of(exchange)
    assert b"hidden" not in request.body
    assert "hidden" not in request.url
    assert request.form == {"key": ("REDACTED",), "client_secret": ("REDACTED",), "n": ("1",)}
