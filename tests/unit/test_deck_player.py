from __future__ import annotations

from pathlib import Path

from addons.deck_player import DeckPlayer, ReplayCounts
from addons.live import ReplaySpec, SessionSpec
from addons.player import Missed
from addons.settings import router_table
from cassette.headerfilter import HeaderPolicy
from cassette.matchrules import MatchRules
from cassette.model import Cassette

URL = "https://api.openai.com/v1/"


def player(*, sealed: bool, counted: ReplayCounts | None = None) -> DeckPlayer:
    replay = ReplaySpec(
        cassette=Path("none.yaml"),
        sealed=sealed,
        refuses_others=True,
        repeat=False,
        factor=0,
        compresses=False,
        match=MatchRules(),
    )
    routers = router_table([], [])
    spec = SessionSpec("chat", None, 0, HeaderPolicy(), routers, 1 << 20, replay=replay)
    return DeckPlayer(spec, Cassette(()), {}, counted)


def test_the_last_misses_are_remembered_with_what_was_answered() -> None:
    deck = player(sealed=True)
    found = [deck.take("GET", f"{URL}{number}", (), b"") for number in range(7)]
    counts = deck.counted.to_json()
    assert counts["misses"] == 7
    assert counts["miss_messages"] == [one.message for one in found if isinstance(one, Missed)][-5:]


def test_long_explanation_is_remembered_in_part() -> None:
    deck = player(sealed=True)
    deck.take("X" * 10_000, URL, (), b"")
    (remembered,) = deck.counted.to_json()["miss_messages"]
    assert len(remembered) < 4100
    assert remembered.endswith("(the rest is in the log)")


def test_counts_go_on_in_the_next_player() -> None:
    first = player(sealed=True)
    first.take("GET", URL, (), b"")
    second = player(sealed=True, counted=first.counted)
    second.take("GET", URL, (), b"")
    assert second.counted.to_json()["misses"] == 2
    assert (first.unused, second.unused) == (0, 0)


def test_new_episodes_are_no_misses_to_explain() -> None:
    deck = player(sealed=False)
    deck.take("GET", URL, (), b"")
    assert deck.counted.to_json()["miss_messages"] == []


def test_a_body_that_is_too_long_is_a_miss_that_names_the_limit() -> None:
    deck = player(sealed=True)
    missed = deck.too_long("POST", f"{URL}chat?key={'k' * 40}")
    assert "longer than limits.max_body, 1048576 bytes" in missed.message
    assert "k" * 40 not in missed.message
    assert (deck.counted.misses, list(deck.counted.messages)) == (1, [missed.message])
