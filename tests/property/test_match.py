"""Matching holds whatever the order: of names, of calls that run side by side, of the cassettes in a deck."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cassette.bodies import read_body
from cassette.canonical import Level
from cassette.codec import loads
from cassette.diff import diff
from cassette.explain import explain
from cassette.match import Deck, Hit, Miss
from cassette.matchrules import EVERYTHING_VOLATILE, MatchRules
from cassette.model import Cassette, Interaction
from tests.support.calls import CHAT, as_bytes, hit, recorded
from tests.support.shared import corpus_cassettes, needs_shared

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=15,
)
bodies = st.dictionaries(st.text(max_size=5), json_values, max_size=5)


def shuffled(value: Any, chance: random.Random) -> Any:
    """Return the value with the names of every object in another order."""
    if isinstance(value, dict):
        names = list(value)
        chance.shuffle(names)
        return {name: shuffled(value[name], chance) for name in names}
    return [shuffled(item, chance) for item in value] if isinstance(value, list) else value


@given(bodies, st.randoms(use_true_random=False), st.sampled_from([None, 1, "\t"]), st.booleans())
def test_any_order_of_names_and_any_layout_matches(
    value: dict[str, Any], chance: random.Random, indent: int | str | None, ascii_only: bool
) -> None:
    text = json.dumps(shuffled(value, chance), indent=indent, ensure_ascii=ascii_only)
    other = text.replace("\n", "\r\n").encode("utf-8", "surrogatepass")
    found = hit(Deck(recorded(value)), other)
    assert found.how in (Level.EXACT, Level.JSON)


@given(json_values, json_values)
def test_bodies_match_as_json_only_if_they_are_equal(a: Any, b: Any) -> None:
    def plain(value: Any) -> Any:
        """Return what Python compares as JSON does: no True that equals 1."""
        if isinstance(value, bool):
            return ("bool", value)
        if isinstance(value, dict):
            return {name.replace("\r\n", "\n"): plain(member) for name, member in value.items()}
        if isinstance(value, list):
            return [plain(item) for item in value]
        return value.replace("\r\n", "\n") if isinstance(value, str) else value

    one, other = read_body(json.dumps([a]).encode()), read_body(json.dumps([b]).encode())
    assert (one.text == other.text) == (plain(a) == plain(b))


boundaries = st.text("0123456789abcdefABCDEF'()+_,./:=?-", min_size=1, max_size=70)


@given(boundaries, boundaries, st.lists(st.binary(max_size=50), min_size=1, max_size=4))
def test_any_boundary_matches(one: str, other: str, contents: list[bytes]) -> None:
    def upload(boundary: str) -> bytes:
        parts = [
            f'--{boundary}\r\nContent-Disposition: form-data; name="f{n}"\r\n\r\n'.encode()
            + content
            + b"\r\n"
            for n, content in enumerate(contents)
        ]
        return b"".join(parts) + f"--{boundary}--\r\n".encode()

    if any(f"\r\n--{name}".encode() in b"\r\n" + content for name in (one, other) for content in contents):
        return  # Such a boundary no client would choose.
    headers = (("Content-Type", f'multipart/form-data; boundary="{other}"'),)
    items = recorded(upload(one), content_type=f'multipart/form-data; boundary="{one}"')
    assert hit(Deck(items), upload(other), headers=headers).interaction is items[0]


@settings(deadline=None)
@given(st.data())
def test_any_interleaving_of_concurrent_calls_pairs_rightly(data: st.DataObject) -> None:
    """Agents that each make their calls in order get their own answers, however they are mixed."""
    agents = [
        [
            {"agent": agent, "turn": turn // data.draw(st.integers(1, 3))}
            for turn in range(data.draw(st.integers(1, 5)))
        ]
        for agent in range(data.draw(st.integers(1, 4)))
    ]

    def interleaved() -> list[tuple[int, int]]:
        """Return (agent, number of its call) in an order that keeps each agent's own."""
        order = data.draw(st.permutations([agent for agent, calls in enumerate(agents) for _ in calls]))
        counts = [0] * len(agents)
        mixed = []
        for agent in order:
            mixed.append((agent, counts[agent]))
            counts[agent] += 1
        return mixed

    recording = interleaved()
    items = recorded(*(agents[agent][number] for agent, number in recording))
    deck = Deck(items)
    for agent, number in interleaved():
        found = hit(deck, dict(reversed(agents[agent][number].items())))
        assert recording[found.interaction.id] == (agent, number)
    assert deck.unused() == ()


@given(st.lists(st.integers(0, 2), max_size=12), st.lists(st.integers(0, 3), max_size=20), st.booleans())
def test_identical_calls_advance_and_each_answers_once(
    calls: list[int], asked: list[int], repeat: bool
) -> None:
    items = recorded(*({"call": call} for call in calls))
    deck = Deck(items, repeat=repeat)
    answered: dict[int, list[Interaction]] = {}
    for call in asked:
        found = deck.take("POST", CHAT, (), as_bytes({"call": call}))
        own = [item for item, other in zip(items, calls, strict=True) if other == call]
        count = len(answered.setdefault(call, []))
        if count < len(own):
            assert found == Hit(own[count], Level.EXACT)
            answered[call].append(own[count])
        elif repeat and own:
            assert found == Hit(own[-1], Level.EXACT, repeated=True)
        else:
            assert isinstance(found, Miss)
    used = sum(map(len, answered.values()))
    assert len(deck.unused()) == len(items) - used
    assert deck.hits + deck.misses == len(asked)


@settings(deadline=None)
@given(st.binary(max_size=80), st.binary(max_size=80), st.text(max_size=60), st.text(max_size=40))
def test_no_request_makes_matching_or_explaining_raise(
    a: bytes, b: bytes, url: str, content_type: str
) -> None:
    deck = Deck(recorded(a, url=f"https://h/{url}"), EVERYTHING_VOLATILE)
    deck.index()
    found = deck.take("POST", f"https://h/{url}", (("content-type", content_type),), b)
    if isinstance(found, Miss):
        assert explain(found)
    assert (a == b) <= isinstance(found, Hit)
    other = deck.take("POST", url, (), b)
    assert isinstance(other, Hit) or explain(other)


@given(st.lists(bodies, max_size=5), st.randoms(use_true_random=False))
def test_cassette_does_not_differ_from_itself_in_another_order(
    values: list[dict[str, Any]], chance: random.Random
) -> None:
    items = recorded(*values)
    other = [replace(item, request=replace(item.request, body=as_bytes(shuffled(value, chance))))
             for item, value in zip(items, values, strict=True)]  # fmt: skip
    chance.shuffle(other)
    assert diff(Cassette(items), Cassette(tuple(other))) == ()


@pytest.fixture(scope="module")
def everything_recorded() -> tuple[Interaction, ...]:
    items = [item for path in corpus_cassettes() for item in loads(path.read_bytes()).interactions]
    return tuple(replace(item, id=number) for number, item in enumerate(items))


@needs_shared
@settings(max_examples=10, deadline=None)
@given(chance=st.randoms(use_true_random=False), changed=st.booleans())
def test_every_real_interaction_is_found_once_in_any_order(
    everything_recorded: tuple[Interaction, ...], chance: random.Random, changed: bool
) -> None:
    deck = Deck(everything_recorded)
    asked = list(everything_recorded)
    chance.shuffle(asked)
    answers = []
    for item in asked:
        body = item.request.body
        if changed:
            body = as_bytes(shuffled(json.loads(body), chance))
        headers = tuple((name, value) for name, values in item.request.headers.items() for value in values)
        found = deck.take(item.request.method, item.request.url, headers, body)
        assert isinstance(found, Hit), explain(found)
        assert found.how in (Level.EXACT, Level.JSON)
        assert json.loads(found.interaction.request.body) == json.loads(item.request.body)
        answers.append(found.interaction.id)
    assert sorted(answers) == list(range(len(everything_recorded)))
    assert deck.unused() == ()
    assert deck.misses == 0


@needs_shared
def test_real_calls_are_taken_for_others_only_where_they_ask_the_same(
    everything_recorded: tuple[Interaction, ...],
) -> None:
    """With its own recording gone, a call finds no other, save those that differ in cache breakpoints and ids."""
    wrongly = []
    for item in everything_recorded:
        others = [other for other in everything_recorded if other.request != item.request]
        found = Deck(others, MatchRules()).take("POST", item.request.url, (), item.request.body)
        if isinstance(found, Hit):
            texts = [item.request.body, found.interaction.request.body]
            wrongly.append(sorted(b"cache_control" in text for text in texts))
    assert wrongly == [[False, True]] * 4
