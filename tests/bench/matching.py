"""Print what matching costs: 1,000 requests against a cassette of 2,000 interactions. Nothing is asserted here.

    python -m tests.bench.matching

The interactions are conversations of one agent to one url, which is the hardest case for an index by url: the
same system prompt and tools, a history that grows. Each figure is the best of several runs.
"""

from __future__ import annotations

import json
import os
import platform
import random
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from cassette.explain import explain
from cassette.match import Deck, Hit, Miss
from cassette.matchrules import EVERYTHING_VOLATILE, MatchRules
from cassette.model import Interaction, Request, Response

URL = "https://api.openai.com/v1/chat/completions"
HEADERS = (("Content-Type", "application/json"),)
RUNS = 5


def conversation(number: int, call_id: str = "call") -> dict[str, Any]:
    """Return one request of an agent, some 6 kB of it."""
    turns = number % 10
    messages: list[dict[str, Any]] = [{"role": "system", "content": "You are a careful agent. " * 60}]
    for turn in range(turns):
        name = f"{call_id}_{number:06}{turn:018}"
        call = {"id": name, "type": "function", "function": {"name": "look", "arguments": '{"at": 1}'}}
        messages.append({"role": "assistant", "tool_calls": [call]})
        messages.append({"role": "tool", "tool_call_id": name, "content": f"result {number} " * 20})
    messages.append({"role": "user", "content": f"task {number}"})
    tools = [
        {"type": "function", "function": {"name": f"tool{n}", "description": "what it does " * 10}}
        for n in range(8)
    ]
    return {"model": "gpt-5", "temperature": 1.0, "stream": True, "messages": messages, "tools": tools}


def body(value: dict[str, Any], *, shuffled: random.Random | None = None) -> bytes:
    """Write a body; with a source of chance, its names in another order."""
    names = list(value)
    if shuffled is not None:
        shuffled.shuffle(names)
    return json.dumps({name: value[name] for name in names}).encode()


def best(prepare: Callable[[], Any], work: Callable[[Any], Any]) -> float:
    """Return the shortest time of the work, in seconds; preparing it is not counted."""
    times = []
    for _ in range(RUNS):
        prepared = prepare()
        started = time.perf_counter()
        work(prepared)
        times.append(time.perf_counter() - started)
    return min(times)


def main(interactions: int = 2000, requests: int = 1000) -> None:
    """Print the figures."""
    chance = random.Random(1)
    recorded = tuple(
        Interaction(number, Request("POST", URL, body(conversation(number))), Response("200 OK", 200))
        for number in range(interactions)
    )
    size = sum(len(item.request.body) for item in recorded)
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.platform()}")
    print(f"{interactions} interactions, {size / 1e6:.1f} MB of requests, all to one url")
    numbers = chance.sample(range(interactions), requests)
    asked = {
        "equal bytes": [body(conversation(number)) for number in numbers],
        "other order of names": [body(conversation(number), shuffled=chance) for number in numbers],
        "other tool ids": [body(conversation(number, "other")) for number in numbers],
    }

    def take_all(bodies: list[bytes], deck: Deck) -> None:
        for one in bodies:
            assert isinstance(deck.take("POST", URL, HEADERS, one), Hit)

    rules = MatchRules()
    print(f"build the deck: {best(lambda: None, lambda _: Deck(recorded, rules)) * 1000:.0f} ms")
    for what, bodies in asked.items():
        seconds = best(partial(Deck, recorded, rules), partial(take_all, bodies))
        print(f"{requests} requests, {what}: {seconds * 1000:.0f} ms with indexing")
    seconds = best(partial(Deck, recorded, EVERYTHING_VOLATILE), partial(take_all, asked["other tool ids"]))
    print(
        f"{requests} requests, other tool ids, every built-in pattern on: {seconds * 1000:.0f} ms with indexing"
    )
    deck = Deck(recorded, rules)
    stranger = conversation(1) | {"temperature": 0.5}
    seconds = best(
        lambda: deck.take("POST", URL, HEADERS, body(stranger)),
        lambda miss: explain(miss) if isinstance(miss, Miss) else None,
    )
    print(f"explain a miss: {seconds * 1000:.0f} ms")


if __name__ == "__main__":
    main()
