from __future__ import annotations

from pathlib import Path

from addons.deck_player import DeckPlayer
from addons.live import ReplaySpec, SessionSpec
from addons.player import Missed
from addons.settings import router_table
from cassette.headerfilter import HeaderPolicy
from cassette.matchrules import MatchRules
from cassette.model import Cassette

URL = "https://api.openai.com/v1/"


def player(*, sealed: bool) -> DeckPlayer:
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
    return DeckPlayer(spec, Cassette(()), {})


def test_the_last_misses_are_remembered_with_what_was_answered() -> None:
    deck = player(sealed=True)
    found = [deck.take("GET", f"{URL}{number}", (), b"") for number in range(7)]
    counts = deck.counts()
    assert counts["misses"] == 7
    assert counts["miss_messages"] == [one.message for one in found if isinstance(one, Missed)][-5:]


def test_long_explanation_is_remembered_in_part() -> None:
    deck = player(sealed=True)
    deck.take("X" * 10_000, URL, (), b"")
    (remembered,) = deck.counts()["miss_messages"]
    assert len(remembered) < 4100
    assert remembered.endswith("(the rest is in the log)")


def test_new_episodes_are_no_misses_to_explain() -> None:
    deck = player(sealed=False)
    deck.take("GET", URL, (), b"")
    assert deck.counts()["miss_messages"] == []
