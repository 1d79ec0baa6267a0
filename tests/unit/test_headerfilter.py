from __future__ import annotations

import json

import pytest

from cassette.exchange import HeaderPairs
from cassette.headerfilter import HeaderPolicy, HeaderRules, HostFilter

CHARM = HeaderRules(keep=("Accept", "Content-Type", "User-Agent"))


def filter_of(request: HeaderRules = CHARM, response: HeaderRules = CHARM) -> HostFilter:
    return HeaderPolicy(request, response).for_host("api.openai.com", 443)


def kept(rules: HeaderRules, *pairs: tuple[str, str]) -> HeaderPairs:
    """What the cassette holds of these, on the request's side."""
    return filter_of(rules).filter_request(pairs)


def test_only_headers_that_are_kept_reach_the_cassette() -> None:
    pairs = (("Accept", "*/*"), ("Date", "today"), ("content-type", "a/b"), ("X-Request-Id", "1"))
    assert kept(CHARM, *pairs) == (("Accept", "*/*"), ("content-type", "a/b"))
    assert filter_of().filter_response(pairs) == (("Accept", "*/*"), ("content-type", "a/b"))


def test_order_case_and_duplicates_stay() -> None:
    pairs = (("x-b", "1"), ("X-A", "2"), ("X-b", "3"))
    assert kept(HeaderRules(keep=("x-*",)), *pairs) == pairs


def test_the_same_tuple_comes_back_when_nothing_changes() -> None:
    pairs = (("Accept", "*/*"), ("User-Agent", "curl/8"))
    assert filter_of().filter_request(pairs) is pairs
    assert filter_of().redact_request(pairs) is pairs
    assert filter_of().redact_response(pairs) is pairs
    assert filter_of().redact_request(()) == ()


def test_a_credential_that_is_kept_is_redacted() -> None:
    assert kept(HeaderRules(keep=("authorization",)), ("Authorization", "Bearer 1")) == (
        ("Authorization", "REDACTED"),
    )
    assert kept(HeaderRules(keep=("*",)), ("X-Api-Key", "1"), ("X-Id", "2")) == (
        ("X-Api-Key", "REDACTED"),
        ("X-Id", "2"),
    )


def test_unsafe_keep_is_stronger_than_everything() -> None:
    rules = HeaderRules(
        drop=("*",), redact=("*",), replace=(("*", "x"),), unsafe_keep=("Authorization", "X-Id")
    )
    pairs = (("authorization", "Bearer 1"), ("x-id", "2"))
    assert kept(rules, *pairs) == pairs
    assert filter_of(rules).redact_request(pairs) is pairs


def test_unsafe_keep_takes_no_glob() -> None:
    rules = HeaderRules(keep=("*",), unsafe_keep=("*", "x-*"))
    assert kept(rules, ("X-Api-Key", "1")) == (("X-Api-Key", "REDACTED"),)


def test_unsafe_keep_holds_for_its_side_only() -> None:
    rules = filter_of(HeaderRules(unsafe_keep=("Authorization",)), HeaderRules(keep=("*",)))
    pairs = (("Authorization", "1"),)
    assert rules.redact_request(pairs) is pairs
    assert rules.redact_response(pairs) == (("Authorization", "REDACTED"),)


def test_drop_is_stronger_than_replace_redact_and_keep() -> None:
    rules = HeaderRules(keep=("a",), drop=("A",), redact=("a",), replace=(("a", "x"),))
    assert kept(rules, ("a", "1")) == ()


def test_replace_is_stronger_than_redact_and_keep_and_need_not_be_kept() -> None:
    rules = HeaderRules(keep=("a",), redact=("a",), replace=(("A", "x"), ("Authorization", "Bearer test")))
    assert kept(rules, ("a", "1"), ("authorization", "Bearer 1")) == (
        ("a", "x"),
        ("authorization", "Bearer test"),
    )


def test_redact_is_stronger_than_keep_and_need_not_be_kept() -> None:
    rules = HeaderRules(keep=("a",), redact=("a", "x-*"))
    assert kept(rules, ("a", "1"), ("X-Id", "2")) == (("a", "REDACTED"), ("X-Id", "REDACTED"))


def test_of_two_replacements_a_full_name_beats_a_glob_then_the_later_wins() -> None:
    rules = HeaderRules(replace=(("x-id", "1"), ("x-*", "2"), ("X-*", "3"), ("x-ID", "4")))
    assert kept(rules, ("X-Id", "a"), ("X-Other", "b")) == (("X-Id", "4"), ("X-Other", "3"))


def test_requests_and_responses_have_rules_of_their_own() -> None:
    rules = filter_of(HeaderRules(keep=("a",)), HeaderRules(keep=("b",)))
    pairs = (("a", "1"), ("b", "2"))
    assert rules.filter_request(pairs) == (("a", "1"),)
    assert rules.filter_response(pairs) == (("b", "2"),)


def test_the_journal_gets_every_header_but_no_credential() -> None:
    pairs = (("Authorization", "Bearer 1"), ("X-Id", "2"), ("Cookie", "a=b"), ("X-Stainless-Os", "Linux"))
    assert filter_of().redact_request(pairs) == (
        ("Authorization", "REDACTED"),
        ("X-Id", "2"),
        ("Cookie", "REDACTED"),
        ("X-Stainless-Os", "REDACTED"),
    )
    assert filter_of().redact_response((("Set-Cookie", "a=b"), ("Date", "x"))) == (
        ("Set-Cookie", "REDACTED"),
        ("Date", "x"),
    )


def test_what_the_user_redacts_does_not_reach_the_journal_either() -> None:
    rules = filter_of(HeaderRules(redact=("X-Mine",)))
    assert rules.redact_request((("x-mine", "1"),)) == (("x-mine", "REDACTED"),)


def test_headers_that_the_format_is_understood_by_stay_in_the_journal() -> None:
    rules = filter_of(HeaderRules(redact=("*",)))
    pairs = (("Content-Encoding", "gzip"), ("Content-Length", "5"), ("Accept-Encoding", "gzip"))
    assert rules.redact_request(pairs) is pairs
    assert rules.filter_request(pairs) == tuple((name, "REDACTED") for name, _ in pairs)


@pytest.mark.parametrize(
    "name",
    ["Location", "Content-Location", "Referer", "HTTP-Referer", "Operation-Location", "X-Goog-Upload-URL"],
)
def test_credentials_in_headers_that_carry_a_url_are_redacted(name: str) -> None:
    pairs = ((name, "https://h/v1?n=1&key=abc"),)
    redacted = ((name, "https://h/v1?n=1&key=REDACTED"),)
    assert filter_of().redact_request(pairs) == redacted
    assert filter_of().redact_response(pairs) == redacted
    assert kept(HeaderRules(keep=("*",)), *pairs) == redacted


def test_credentials_in_a_link_header_are_redacted() -> None:
    pairs = (("Link", '<https://h/?token=abc>; rel="next"'), ("Refresh", "5; url=/next?token=abc"))
    assert filter_of().redact_response(pairs) == (
        ("Link", '<https://h/?token=REDACTED>; rel="next"'),
        ("Refresh", "5; url=/next?token=REDACTED"),
    )


def test_filtering_what_was_redacted_for_the_journal_gives_what_filtering_at_once_gives() -> None:
    rules = filter_of(HeaderRules(keep=("*",), replace=(("cookie", "x"),), redact=("x-mine",)))
    pairs = (("Authorization", "1"), ("Cookie", "2"), ("X-Mine", "3"), ("Referer", "/?key=4"), ("Host", "h"))
    assert rules.filter_request(rules.redact_request(pairs)) == rules.filter_request(pairs)


def test_the_decision_does_not_depend_on_case() -> None:
    rules = filter_of(HeaderRules(keep=("X-Keep", "y-*"), drop=("Y-Drop",)))
    for change in (str.upper, str.lower, str.title, str.swapcase):
        pairs = tuple((change(name), "1") for name in ("x-keep", "y-some", "y-drop", "other"))
        assert [name.lower() for name, _ in rules.filter_request(pairs)] == ["x-keep", "y-some"]


def policy_with_hosts() -> HeaderPolicy:
    return HeaderPolicy(
        CHARM,
        CHARM,
        (
            ("*.openai.azure.com", HeaderRules(keep=("api-version",)), HeaderRules(keep=("x-*",))),
            ("mine.openai.azure.com:8443", HeaderRules(drop=("User-Agent",)), HeaderRules()),
        ),
    )


def test_the_rules_of_every_matching_host_are_added_to_the_global_ones() -> None:
    policy = policy_with_hosts()
    pairs = (("Accept", "1"), ("User-Agent", "2"), ("api-version", "3"))
    assert policy.for_host("api.openai.com", 443).filter_request(pairs) == pairs[:2]
    assert policy.for_host("other.openai.azure.com", 8443).filter_request(pairs) == pairs
    assert policy.for_host("MINE.openai.azure.com.", 8443).filter_request(pairs) == (pairs[0], pairs[2])
    assert policy.for_host("mine.openai.azure.com", 443).filter_request(pairs) == pairs


def test_hosts_with_the_same_rules_share_a_filter_and_few_are_remembered() -> None:
    policy = policy_with_hosts()
    first = policy.for_host("a.example.com", 443)
    assert all(policy.for_host(f"a{n}.example.com", 443) is first for n in range(1000))
    policy.for_host("x" * 10_000, 443)
    assert len(policy._by_host) <= 256
    assert max(len(host) for host, _ in policy._by_host) < 300


def test_few_names_are_remembered_however_many_a_client_sends() -> None:
    rules = filter_of()
    for number in range(5000):
        rules.redact_request(((f"X-{number}", "1"),))
    rules.redact_request((("X-" * 1000 + "Token", "1"),))
    assert len(rules._journal_request) <= 512
    assert max(map(len, rules._journal_request)) <= 128


def test_a_very_long_name_is_redacted_as_well() -> None:
    assert filter_of().redact_request((("X-" * 1000 + "Token", "1"),))[0][1] == "REDACTED"


def test_a_policy_survives_json() -> None:
    policy = HeaderPolicy(
        HeaderRules(("a",), ("b",), ("c",), (("d", "e"), ("d", "f")), ("g",)),
        CHARM,
        policy_with_hosts().hosts,
    )
    again = HeaderPolicy.from_json(json.loads(json.dumps(policy.to_json())))
    assert again == policy
    assert hash(again) == hash(policy)


def test_a_wrong_host_pattern_is_refused() -> None:
    with pytest.raises(ValueError, match="every host"):
        HeaderPolicy(hosts=(("*", CHARM, CHARM),))
