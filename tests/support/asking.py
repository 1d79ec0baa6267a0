"""Questions to sessions of one cassette, through a real client."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.golike import Answer, GoLikeClient
from tests.support.tapes import CHAT, JSON
from tests.support.upstream import HTTP_2_FIRST
from tests.support.wiretape import Session, Wiretape

HEADERS = (("Content-Type", JSON),)


def question(text: str) -> dict[str, object]:
    """Return the body of a chat completion that asks this."""
    return {"model": "made", "messages": [{"role": "user", "content": text}]}


def answer_to(text: str) -> bytes:
    """Return what is answered to it."""
    return json.dumps({"answer": text}).encode()


class Sessions:
    """Opens sessions of one cassette, one after another."""

    def __init__(self, wiretape: Wiretape, new_name: Callable[[], str], tape: Path) -> None:
        self._wiretape = wiretape
        self._new_name = new_name
        self.tape = tape

    def ask(
        self, *texts: str, options: list[str], alpn: tuple[str, ...] = HTTP_2_FIRST
    ) -> tuple[list[Answer], dict[str, Any]]:
        """Open a session, ask, close it; return the answers, and what `stop` counted."""
        name = self._new_name()
        session = self._wiretape.start(name, *options, cassette=self.tape)
        answers = [ask(session, question(text), alpn=alpn) for text in texts]
        (summary,) = json.loads(self._wiretape.run("stop", name, "--json").stdout)
        return answers, summary


def ask(
    session: Session,
    body: object,
    url: str = CHAT,
    headers: Sequence[tuple[str, str]] = HEADERS,
    alpn: tuple[str, ...] = HTTP_2_FIRST,
) -> Answer:
    """Ask once, on a connection of its own."""
    with GoLikeClient(proxy=session.proxy, ca_file=session.bundle, alpn=alpn) as client:
        return client.request("POST", url, headers, json.dumps(body).encode())


@pytest.fixture
def sessions(shared_wiretape: Wiretape, new_name: Callable[[], str], tmp_path: Path) -> Sessions:
    """The sessions of a cassette that is not there yet."""
    return Sessions(shared_wiretape, new_name, tmp_path / "tape.yaml")
