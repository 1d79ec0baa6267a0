"""What a replay answers: errors as they were recorded, misses that explain themselves, never a credential."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from cassette import load
from tests.support.asking import HEADERS, Sessions, ask, question
from tests.support.asking import sessions as sessions
from tests.support.scripts import gzip_pieces, pieces, whole
from tests.support.secrets import made_up, places_with
from tests.support.talk import SSE
from tests.support.tapes import CHAT, JSON, call, is_answer, write_tape
from tests.support.upstream import HTTP_1_ONLY, HTTP_2_FIRST, Upstream
from tests.support.wiretape import Wiretape


def test_recorded_errors_are_replayed_with_the_headers_that_were_kept(
    sessions: Sessions,
) -> None:
    limits = [("Retry-After", "7"), ("X-Ratelimit-Remaining-Requests", "0"), ("X-Request-Id", "req-1")]
    body = b'{"error": {"message": "slow down", "code": "rate_limit_exceeded"}}'
    with Upstream(whole(429, [("Content-Type", JSON), *limits], body)) as limiting:
        kept = ["--keep-header=retry-after", "--keep-header=x-ratelimit-*"]
        (first,), _ = sessions.ask("one", options=[*kept, *limiting.options()])
    assert first.header("x-request-id") == "req-1"
    (again,), _ = sessions.ask("one", options=["--mode=replay-only"])
    (recorded,) = load(sessions.tape).interactions
    assert is_answer(recorded, again)
    assert (again.status, again.body, again.header("retry-after")) == (429, body, "7")
    assert (again.header("x-ratelimit-remaining-requests"), again.header("x-request-id")) == ("0", None)


@pytest.mark.parametrize("alpn", [HTTP_1_ONLY, HTTP_2_FIRST], ids=["to-http1", "to-http2"])
def test_headers_of_one_connection_do_no_harm_on_another(sessions: Sessions, alpn: tuple[str, ...]) -> None:
    events = [b"data: one\n\n", b"data: [DONE]\n\n"]
    connection = [
        ("Connection", "keep-alive"),
        ("Keep-Alive", "timeout=5"),
        ("Date", "Mon, 01 Jan 2024 00:00:00 GMT"),
    ]
    headers = [("Content-Type", SSE), ("Content-Encoding", "gzip"), *connection]
    with Upstream(pieces(200, headers, gzip_pieces(events)), alpn=HTTP_1_ONLY) as upstream:
        sessions.ask("one", options=["--keep-all-headers", *upstream.options()])
    (answer,), _ = sessions.ask("one", options=["--mode=replay-only"], alpn=alpn)
    assert (answer.body, answer.header("content-encoding")) == (b"".join(events), None)
    assert answer.header("date") == "Mon, 01 Jan 2024 00:00:00 GMT"
    assert answer.header("keep-alive") == ("timeout=5" if alpn is HTTP_1_ONLY else None)


def test_miss_names_the_closest_interaction_and_shows_how_it_differs(sessions: Sessions) -> None:
    write_tape(
        sessions.tape, [call(question("one"), b"{}"), call(question("What is the capital of France?"), b"{}")]
    )
    text = "What is the capital of Spain?"
    (answer,), _ = sessions.ask(text, options=["--mode=replay-only"])
    error = json.loads(answer.body)["error"]
    assert (error["type"], error["code"]) == ("wiretape_replay_error", "replay_miss")
    message = error["message"]
    assert "closest is interaction 1; it differs at messages[0].content" in message
    removed, added = ([line for line in message.splitlines() if line[:1] == sign] for sign in "-+")
    assert [line for line in removed if "France" in line], message
    assert [line for line in added if "Spain" in line], message


def test_credentials_stand_neither_in_a_miss_nor_in_the_log(wiretape: Wiretape, tmp_path: Path) -> None:
    tape = write_tape(tmp_path / "tape.yaml", [call(question("one"), b"{}")])
    key = made_up("sk-")
    plain = made_up()
    headers = [
        *HEADERS,
        ("Authorization", f"Bearer {key}"),
        ("x-api-key", plain),
        ("Cookie", f"session={plain}"),
    ]
    session = wiretape.start("x", "--mode=replay-only", cassette=tape)
    for url in (CHAT, f"{CHAT}?key={plain}&api_key={plain}", f"https://openrouter.ai/?access_token={plain}"):
        answer = ask(session, question(f"My key is {key}, keep it."), url, headers)
        assert answer.status == 501
        assert b"REDACTED" in answer.body
        assert key.encode() not in answer.body + repr(answer.headers).encode()
        assert plain.encode() not in answer.body + repr(answer.headers).encode()
    wiretape.stop("x")
    assert "replay.miss" in wiretape.run("logs").stdout.decode()
    for value in (key, plain):
        assert places_with(value, [wiretape.home, tmp_path]) == []


def test_recording_with_a_redacted_key_answers_requests_with_a_real_one(
    shared_wiretape: Wiretape, new_name: Callable[[], str], tmp_path: Path
) -> None:
    url = "https://generativelanguage.googleapis.com/v1beta/models/made:generateContent"
    body = {"contents": [{"parts": [{"text": "one"}]}]}
    tape, (name, other) = tmp_path / "tape.yaml", (new_name(), new_name())
    with Upstream(whole(200, [("Content-Type", JSON)], b'{"candidates": []}')) as upstream:
        recording = shared_wiretape.start(name, *upstream.options(), cassette=tape)
        ask(recording, body, f"{url}?key={made_up()}&alt=json")
        shared_wiretape.stop(name)
    assert load(tape).interactions[0].request.url == f"{url}?key=REDACTED&alt=json"
    replaying = shared_wiretape.start(other, "--mode=replay-only", cassette=tape)
    assert ask(replaying, body, f"{url}?alt=json&key={made_up()}").body == b'{"candidates": []}'
    shared_wiretape.stop(other)
