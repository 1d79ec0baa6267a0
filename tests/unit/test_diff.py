"""Two cassettes compared: what is paired with what, and which differences count."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cassette.diff import Change, Difference, DifferenceKind, diff
from cassette.matchrules import EVERYTHING_VOLATILE, MatchRules
from cassette.model import Cassette, Interaction, Response
from cassette.textdiff import MAX_COMPARED
from tests.support.calls import CHAT
from tests.support.talk import SSE, interaction, sse

CHANGED, REMOVED, ADDED = DifferenceKind.CHANGED, DifferenceKind.REMOVED, DifferenceKind.ADDED
KEY = "sk-" + "proj-" + "a1B2" * 10


def cassette(*interactions: Interaction) -> Cassette:
    return Cassette(tuple(replace(item, id=number) for number, item in enumerate(interactions)))


def answer(text: str = "Hi.", *, finish: str = "stop", usage: int = 5, calls: tuple[str, ...] = ()) -> Any:
    tool_calls = [
        {"id": f"call_{number}", "function": {"name": "look", "arguments": arguments}}
        for number, arguments in enumerate(calls)
    ]
    message = {"role": "assistant", "content": text, "tool_calls": tool_calls}
    return {
        "id": f"chatcmpl-{text}",
        "model": "gpt-5",
        "choices": [{"message": message, "finish_reason": finish}],
        "usage": {"prompt_tokens": 10, "completion_tokens": usage, "total_tokens": 10 + usage},
    }


def said(question: str, response: object = None, **more: object) -> Interaction:
    body = {"model": "gpt-5", "messages": [{"role": "user", "content": question}], **more}
    return interaction(CHAT, body, answer() if response is None else response)


def kinds(found: tuple[Difference, ...]) -> list[tuple[DifferenceKind, int | None, int | None]]:
    return [
        (one.kind, one.before.id if one.before else None, one.after.id if one.after else None)
        for one in found
    ]


def changes(
    before: object, after: object, rules: MatchRules = EVERYTHING_VOLATILE
) -> dict[str, tuple[str, str]]:
    found = diff(cassette(said("q", before)), cassette(said("q", after)), rules)
    return {change.what: (change.before, change.after) for one in found for change in one.response}


def test_cassette_does_not_differ_from_itself() -> None:
    one = cassette(said("a"), said("b"), said("a", answer("Other.")))
    assert diff(one, one) == ()
    assert diff(Cassette(), Cassette()) == ()


def test_order_of_interactions_is_no_difference() -> None:
    a, b, c = said("a"), said("b"), said("c", answer("Other."))
    assert diff(cassette(a, b, c), cassette(c, a, b)) == ()


def test_equal_requests_are_paired_in_order() -> None:
    first, second = said("a", answer("One.")), said("a", answer("Two."))
    assert diff(cassette(first, second), cassette(first, second)) == ()
    assert kinds(diff(cassette(first, second), cassette(second, first))) == [(CHANGED, 0, 0), (CHANGED, 1, 1)]


def test_interaction_that_was_put_in_between_is_the_only_difference() -> None:
    a, b, c = said("a"), said("b"), said("c")
    assert kinds(diff(cassette(a, c), cassette(a, b, c))) == [(ADDED, None, 1)]
    assert kinds(diff(cassette(a, b, c), cassette(a, c))) == [(REMOVED, 1, None)]


def test_changed_request_is_paired_with_the_most_alike() -> None:
    cats, dogs = "Tell me all about cats and their habits.", "Why do dogs bark at the moon at night?"
    before = cassette(said(cats), said(dogs))
    after = cassette(said(dogs + " Be brief."), said(cats + " Be brief."))
    found = diff(before, after)
    assert kinds(found) == [(CHANGED, 0, 1), (CHANGED, 1, 0)]
    assert "Be brief." in found[0].request
    assert found[0].request.startswith("--- interaction 0\n+++ interaction 1\n")
    assert found[0].response == ()


def test_request_to_another_url_is_another_interaction() -> None:
    other = interaction("https://api.openai.com/v1/responses", {"model": "gpt-5"})
    assert kinds(diff(cassette(said("a")), cassette(other))) == [(REMOVED, 0, None), (ADDED, None, 0)]


def test_order_of_names_and_what_profiles_leave_out_is_no_difference() -> None:
    a = interaction(CHAT, b'{"a":1,"b":2,"user":"x"}', answer())
    b = interaction(CHAT, b'{"b": 2, "a": 1.0, "user": "y"}', answer())
    assert diff(cassette(a), cassette(b)) == ()


def test_volatile_texts_are_no_difference_unless_the_rules_say_so() -> None:
    before, after = (said(f"On 2026-08-0{n}?", answer(f"It is 2026-08-0{n}.")) for n in (1, 2))
    assert diff(cassette(before), cassette(after)) == ()
    (found,) = diff(cassette(before), cassette(after), MatchRules())
    assert "2026-08-02" in found.request
    assert found.response == (Change("text", "It is 2026-08-01.", "It is 2026-08-02."),)


def test_what_matters_of_an_answer_is_compared() -> None:
    assert changes(answer("Hi."), answer("Hello.")) == {"text": ("Hi.", "Hello.")}
    assert changes(answer(finish="stop"), answer(finish="length")) == {"finish reason": ("stop", "length")}
    assert changes(answer(usage=5), answer(usage=7)) == {
        "usage": ("output_tokens 5, total 15", "output_tokens 7, total 17")
    }
    assert changes(answer(), answer(calls=('{"at": 1}',))) == {"tool calls": ("", 'look({"at":1})')}
    other_model = {**answer(), "model": "gpt-5-2026"}
    assert changes(answer(), other_model) == {"model": ("gpt-5", "gpt-5-2026")}


def test_ids_of_calls_and_layout_of_arguments_are_no_difference() -> None:
    one, other = answer(calls=('{"a": 1, "b": 2}',)), answer(calls=('{"b":2,"a":1}',))
    other["choices"][0]["message"]["tool_calls"][0]["id"] = "call_other"
    assert changes(one, other) == {}


def test_streamed_answer_is_compared_by_what_it_says() -> None:
    def stream(*texts: str) -> Interaction:
        chunks = [{"choices": [{"delta": {"content": text}}]} for text in texts]
        return interaction(CHAT, {"q": 1}, sse(*chunks, done=True), content_type=SSE)

    assert diff(cassette(stream("He", "llo")), cassette(stream("Hello"))) == ()
    (found,) = diff(cassette(stream("Hello")), cassette(stream("Good ", "bye")))
    assert found.response == (Change("text", "Hello", "Good bye"),)


def test_error_and_status_are_compared() -> None:
    good = said("q")
    body = b'{"error": {"type": "rate_limit", "message": "slow down"}}'
    failed = replace(good, response=Response("429 Too Many Requests", 429, body))
    (found,) = diff(cassette(good), cassette(failed))
    seen = {change.what: change.after for change in found.response}
    assert seen["status"] == "429"
    assert seen["error"] == "rate_limit: slow down"


def test_answer_that_is_no_conversation_is_compared_by_its_body() -> None:
    def models(*names: str, created: int = 1) -> Interaction:
        data = [{"id": name, "created": created} for name in names]
        return interaction("https://h/v1/models", b"", {"object": "list", "data": data})

    assert diff(cassette(models("a")), cassette(models("a"))) == ()
    (found,) = diff(cassette(models("a")), cassette(models("a", "b")))
    (change,) = found.response
    assert change.what == "body"
    assert '"b"' in change.after
    ignoring = MatchRules(ignore_paths=("data[*].created",))
    assert diff(cassette(models("a", created=1)), cassette(models("a", created=2)), ignoring) == ()


def test_one_side_can_be_compared_alone() -> None:
    before, after = cassette(said("a", answer("One."))), cassette(said("b", answer("Two.")))
    (request_only,) = diff(before, after, responses=False)
    assert request_only.request
    assert request_only.response == ()
    (response_only,) = diff(before, after, requests=False)
    assert response_only.request == ""
    assert [change.what for change in response_only.response] == ["text"]


def test_times_and_headers_are_no_difference() -> None:
    one = said("a")
    other = replace(one, response=replace(one.response, headers={"X-Request-Id": ("1",)}, duration_ns=5))
    assert diff(cassette(one), cassette(other)) == ()


def test_no_credential_is_shown() -> None:
    url = CHAT + "?key=hush"
    before = interaction(url, {"input": f"{KEY} one"}, answer(f"Your key is {KEY}."))
    after = interaction(url, {"input": f"{KEY} two"}, answer(f"It is {KEY}."))
    (found,) = diff(cassette(before), cassette(after))
    shown = found.request + repr(found.response)
    assert KEY[8:20] not in shown
    assert "hush" not in shown
    assert "REDACTED" in shown


@pytest.mark.parametrize("count", [60])
def test_many_changed_requests_are_paired_in_order(count: int) -> None:
    before = cassette(*(said(f"question {n}") for n in range(count)))
    after = cassette(*(said(f"question {n} again") for n in range(count)))
    assert kinds(diff(before, after)) == [(CHANGED, n, n) for n in range(count)]


def test_long_requests_that_differ_harmlessly_are_the_same_call() -> None:
    before, after = (said("word " * MAX_COMPARED, user=user) for user in ("a", "b"))
    assert diff(cassette(before), cassette(after)) == ()
