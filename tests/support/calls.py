"""Requests and recorded interactions for tests of matching."""

from __future__ import annotations

import json

from cassette.exchange import HeaderPairs
from cassette.match import Deck, Hit, Miss
from cassette.model import Interaction, Request, Response

CHAT = "https://api.openai.com/v1/chat/completions"
JSON: HeaderPairs = (("content-type", "application/json"),)


def as_bytes(body: object) -> bytes:
    """Return a body: bytes as they are, anything else written as JSON."""
    return body if isinstance(body, bytes) else json.dumps(body).encode()


def recorded(
    *bodies: object, url: str = CHAT, method: str = "POST", content_type: str = ""
) -> tuple[Interaction, ...]:
    """Return an interaction per body, numbered from 0."""
    headers = {"Content-Type": (content_type,)} if content_type else {}
    return tuple(
        Interaction(number, Request(method, url, as_bytes(body), headers), Response("200 OK", 200))
        for number, body in enumerate(bodies)
    )


def hit(deck: Deck, body: object, url: str = CHAT, headers: HeaderPairs = JSON, method: str = "POST") -> Hit:
    """Ask and return the hit."""
    found = deck.take(method, url, headers, as_bytes(body))
    assert isinstance(found, Hit), found
    return found


def miss(
    deck: Deck, body: object, url: str = CHAT, headers: HeaderPairs = JSON, method: str = "POST"
) -> Miss:
    """Ask and return the miss."""
    found = deck.take(method, url, headers, as_bytes(body))
    assert isinstance(found, Miss), found
    return found
