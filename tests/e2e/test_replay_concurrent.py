"""Many clients on one cassette at the same time: every answer is the one of its own request."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cassette.model import Interaction
from tests.support import rawclient
from tests.support.golike import Answer, GoLikeClient
from tests.support.talk import SSE
from tests.support.tapes import CHAT, JSON, call, counts, write_tape
from tests.support.upstream import HTTP_1_ONLY, HTTP_2_FIRST
from tests.support.wiretape import Session, Wiretape

CLIENTS = 64
OWN_CALLS = 3
"""Calls of each client that no other makes."""
SAME: dict[str, object] = {"model": "made", "messages": [{"role": "user", "content": "the same for all"}]}
HEADERS = [("Content-Type", JSON)]


def _own(client: int, turn: int) -> dict[str, object]:
    text = f"client {client}, turn {turn}"
    return {"model": "made", "stream": turn == 1, "messages": [{"role": "user", "content": text}]}


def _answer(client: int, turn: int) -> bytes:
    """Return what is recorded for one client's turn; the second is a stream of a hundred events."""
    if turn != 1:
        return json.dumps({"answer": [client, turn]}).encode()
    return b"".join(f"data: {json.dumps([client, turn, piece])}\n\n".encode() for piece in range(100))


def _recorded() -> list[Interaction]:
    """Return all clients' own calls, turn by turn, and between them one call that every client makes."""
    own = [
        call(_own(client, turn), _answer(client, turn), content_type=SSE if turn == 1 else JSON)
        for turn in range(OWN_CALLS)
        for client in range(CLIENTS)
    ]
    same = [call(SAME, f"same {number}".encode(), content_type="text/plain") for number in range(CLIENTS)]
    return own[: len(own) // 2] + same + own[len(own) // 2 :]


@pytest.fixture
def session(shared_wiretape: Wiretape, new_name: Callable[[], str], tmp_path: Path) -> Session:
    tape = write_tape(tmp_path / "many.yaml", _recorded())
    return shared_wiretape.start(new_name(), "--mode=replay-only", cassette=tape)


def _body(value: dict[str, object]) -> bytes:
    # Not the recorded bytes: other SDKs write JSON in another way.
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()


def test_64_clients_at_once_each_get_their_own_answers(session: Session, shared_wiretape: Wiretape) -> None:
    together = threading.Barrier(CLIENTS)

    def ask(number: int) -> Sequence[Answer]:
        alpn = HTTP_2_FIRST if number % 2 else HTTP_1_ONLY
        with GoLikeClient(proxy=session.proxy, ca_file=session.bundle, alpn=alpn) as client:
            together.wait(60)
            own = [
                client.request("POST", CHAT, HEADERS, _body(_own(number, turn))) for turn in range(OWN_CALLS)
            ]
            return [*own, client.request("POST", CHAT, HEADERS, _body(SAME))]

    with ThreadPoolExecutor(CLIENTS) as pool:
        answers = list(pool.map(ask, range(CLIENTS)))

    wrong = [
        (number, turn, answer)
        for number, got in enumerate(answers)
        for turn, answer in enumerate(got[:OWN_CALLS])
        if (answer.status, answer.body) != (200, _answer(number, turn))
    ]
    assert wrong == []
    # Equal calls share their recordings out: each is the answer of one of them.
    shared = Counter(got[-1].body for got in answers)
    assert shared == {f"same {number}".encode(): 1 for number in range(CLIENTS)}
    assert counts(shared_wiretape, session.name) == (CLIENTS * (OWN_CALLS + 1), 0, 0)


def test_64_streams_of_one_connection_each_get_their_own_answer(session: Session) -> None:
    http2 = rawclient.Http2(rawclient.tunnel(session, "api.openai.com", alpn=["h2"]))
    begun = [
        http2.begin("POST", "/v1/chat/completions", HEADERS, _body(_own(number, 1)))
        for number in range(CLIENTS)
    ]
    answers = [http2.answer(stream) for stream in begun]
    http2.close()
    assert [answer.body for answer in answers] == [_answer(number, 1) for number in range(CLIENTS)]
