"""From an exchange to an interaction: the host's rules, the id, and what is said of one that broke off."""

from __future__ import annotations

import gzip

import pytest

from cassette.exchange import Exchange, HeaderPairs, Outcome
from cassette.headerfilter import HeaderPolicy, HeaderRules
from cassette.model import Interaction, Response
from cassette.wire import HostField, WireRules, to_interaction
from tests.support.exchanges import an_exchange

LENGTH: HeaderPairs = (("content-length", "7"),)


def interaction_of(
    exchange: Exchange,
    *,
    host_field: HostField = HostField.EMPTY,
    headers: HeaderPolicy = HeaderPolicy(),  # noqa: B008
    max_body: int = 1 << 20,
) -> Interaction:
    return to_interaction(exchange, WireRules(host_field, headers, max_body), id=7)


def test_the_host_field_is_a_setting() -> None:
    assert interaction_of(an_exchange()).request.host == ""
    assert interaction_of(an_exchange(), host_field=HostField.URL).request.host == "api.example.com"


def test_the_bound_on_bodies_is_a_setting() -> None:
    body = gzip.compress(b"hello")
    exchange = an_exchange(headers=(("content-encoding", "gzip"),), body=body)
    assert interaction_of(exchange, max_body=5).response.body == b"hello"
    assert interaction_of(exchange, max_body=4).response.body == body


def test_the_header_filter_decides_by_host_and_side_and_sees_what_the_transport_leaves() -> None:
    policy = HeaderPolicy(
        request=HeaderRules(keep=("accept",)),
        response=HeaderRules(keep=("content-type", "content-length", "authorization")),
        hosts=(("*.example.com", HeaderRules(keep=("x-here",)), HeaderRules()),),
    )
    exchange = an_exchange(
        request_headers=(("ACCEPT", "*/*"), ("X-Here", "1"), ("X-Other", "1")),
        headers=(("content-type", "text/plain"), ("x-here", "1"), ("Authorization", "hidden")),
        body=b"hi",
    )
    recorded = interaction_of(exchange, headers=policy)
    assert recorded.request.headers == {"Accept": ("*/*",), "X-Here": ("1",)}
    assert recorded.response.headers == {"Content-Type": ("text/plain",), "Authorization": ("REDACTED",)}


def test_host_rules_see_the_port_of_the_url_or_the_default_of_its_scheme() -> None:
    rules = HeaderRules(keep=("x-a",))
    policy = HeaderPolicy(
        hosts=tuple((host, rules, HeaderRules()) for host in ("a.test:80", "b.test:443", "c.test:8443"))
    )
    kept = {
        url: bool(
            interaction_of(
                an_exchange(url=url, request_headers=(("x-a", "1"),)), headers=policy
            ).request.headers
        )
        for url in (
            "http://a.test/",
            "https://a.test/",
            "https://b.test/",
            "https://c.test:8443/",
            "https://c.test/",
        )
    }
    assert list(kept.values()) == [True, False, True, True, False]


def test_a_whole_exchange_is_not_interrupted_and_has_its_id() -> None:
    recorded = interaction_of(an_exchange(body=b"hi"))
    assert (recorded.id, recorded.interrupted) == (7, "")


@pytest.mark.parametrize(
    ("why", "interrupted"), [("", "the body was cut short"), ("EOF", "the body was cut short: EOF")]
)
def test_an_exchange_that_broke_off_says_why(why: str, interrupted: str) -> None:
    exchange = an_exchange(body=b"h", headers=LENGTH, outcome=Outcome.TRUNCATED, why=why)
    recorded = interaction_of(exchange)
    assert recorded.interrupted == interrupted
    assert (recorded.response.body, recorded.response.content_length) == (b"h", 7)


def test_a_client_that_left_with_all_it_wanted_interrupted_nothing() -> None:
    exchange = an_exchange(body=b"1234567", headers=LENGTH, outcome=Outcome.CLIENT_LEFT)
    assert interaction_of(exchange).interrupted == ""


def test_an_exchange_without_response_has_gos_zero_values() -> None:
    recorded = interaction_of(an_exchange(answered=False, outcome=Outcome.UPSTREAM_RESET))
    assert recorded.response == Response(
        status="", code=0, proto="", proto_major=0, proto_minor=0, content_length=0
    )
    assert recorded.interrupted == "the upstream broke off"
