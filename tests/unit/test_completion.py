"""When an exchange whose end was not seen is whole all the same."""

from __future__ import annotations

import gzip
import zlib

import pytest

from cassette.completion import LAST_EVENTS, is_whole
from cassette.exchange import Exchange, HeaderPairs, Outcome
from tests.support.exchanges import an_exchange

LIMIT = 1 << 20
BROKEN_OFF = [outcome for outcome in Outcome if outcome is not Outcome.COMPLETE]
SSE: HeaderPairs = (("content-type", "Text/Event-Stream; charset=utf-8"),)
DELTA = b'data: {"delta":"hi"}\n\n'


def left_at(body: bytes, headers: HeaderPairs = SSE, outcome: Outcome = Outcome.CLIENT_LEFT) -> Exchange:
    return an_exchange(headers=headers, body=body, outcome=outcome)


def test_a_complete_exchange_is_whole() -> None:
    assert is_whole(an_exchange(body=b"hi"), LIMIT)


@pytest.mark.parametrize("outcome", BROKEN_OFF)
def test_an_exchange_without_response_is_not_whole(outcome: Outcome) -> None:
    assert not is_whole(an_exchange(answered=False, outcome=outcome), LIMIT)


@pytest.mark.parametrize("outcome", BROKEN_OFF)
def test_a_body_that_reached_its_content_length_is_whole(outcome: Outcome) -> None:
    length: HeaderPairs = (("content-length", "2"),)
    assert is_whole(left_at(b"hi", length, outcome), LIMIT)
    assert not is_whole(left_at(b"h", length, outcome), LIMIT)


def test_a_whole_answer_to_half_a_request_is_not_a_whole_exchange() -> None:
    length: HeaderPairs = (("content-length", "2"),)
    half = an_exchange(headers=length, body=b"hi", outcome=Outcome.CLIENT_LEFT, request_ended=False)
    assert not is_whole(half, LIMIT)


def test_an_answer_that_said_it_was_empty_is_whole() -> None:
    assert is_whole(left_at(b"", (("Content-Length", "0"),)), LIMIT)


@pytest.mark.parametrize("outcome", BROKEN_OFF)
def test_a_body_without_a_length_is_not_whole(outcome: Outcome) -> None:
    assert not is_whole(left_at(b"hi", (), outcome), LIMIT)
    assert not is_whole(left_at(b"", (), outcome), LIMIT)


def test_chunked_framing_beats_a_content_length() -> None:
    both: HeaderPairs = (("Transfer-Encoding", "chunked"), ("Content-Length", "2"))
    assert not is_whole(left_at(b"hi", both), LIMIT)


def test_a_content_length_that_contradicts_itself_proves_nothing() -> None:
    assert not is_whole(left_at(b"hi", (("Content-Length", "2"), ("Content-Length", "3"))), LIMIT)


@pytest.mark.parametrize(("method", "code"), [("HEAD", 200), ("GET", 204), ("GET", 304), ("GET", 101)])
def test_an_answer_that_has_no_body_is_whole(method: str, code: int) -> None:
    head: HeaderPairs = (("Content-Length", "99"),)
    exchange = an_exchange(method=method, code=code, headers=head, outcome=Outcome.CLIENT_LEFT)
    assert is_whole(exchange, LIMIT)


@pytest.mark.parametrize(
    "end",
    [
        b"data: [DONE]\n\n",
        b"data:[DONE]\n\n",
        b"data: [DONE]\r\n\r\n",
        b"data: [DONE]\r\r",
        b"data: [DONE]\n\n\n\n",
        b"data: [DONE]\n\n: ping\n\n",
        b": ping\ndata: [DONE]\nid: 7\n\n",
        b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
        b'event: message_stop\r\ndata: {"type": "message_stop"}\r\n\r\n',
        b'data: {"type":"message_stop"}\n\n',
        b'data: {"type":"response.completed",\ndata: "response":{}}\n\n',
        *(b"event: %s\ndata: {}\n\n" % name.encode() for name in sorted(LAST_EVENTS)),
    ],
)
def test_a_client_that_left_behind_the_last_event_has_it_all(end: bytes) -> None:
    assert is_whole(left_at(DELTA * 3 + end), LIMIT)
    assert is_whole(left_at(end), LIMIT)


@pytest.mark.parametrize(
    "end",
    [
        b"data: [DONE]",
        b"data: [DONE]\n",
        b"data: [DONE]\r\n",
        b"data: [DONE]\n\ndata: {",
        b"data: [DONE]\n\n" + DELTA,
        b"data: [DONE]\n\n: pi",
        b": data: [DONE]\n\n",
        b"event: message_stop\n\n",
        b"event: message_stop\ndata: {}\n",
        b'event: ping\ndata: {"type": "ping"}\n\n',
        b'data: ["message_stop"]\n\n',
        b'data: {"type": ["message_stop"]}\n\n',
        b'data: "[DONE]"\n\n',
        b"data: " + b"[" * 100_000 + b"\n\n",
        b"database: [DONE]\n\n",
        b"",
        b"\n\n",
    ],
)
def test_a_stream_that_was_left_anywhere_else_is_cut(end: bytes) -> None:
    assert not is_whole(left_at(DELTA + end), LIMIT)


@pytest.mark.parametrize("outcome", [outcome for outcome in BROKEN_OFF if outcome is not Outcome.CLIENT_LEFT])
def test_the_last_event_counts_only_when_it_was_the_client_who_left(outcome: Outcome) -> None:
    assert not is_whole(left_at(DELTA + b"data: [DONE]\n\n", SSE, outcome), LIMIT)


def test_the_last_event_counts_in_an_event_stream_only() -> None:
    for headers in ((), (("content-type", "application/json"),)):
        assert not is_whole(left_at(b"data: [DONE]\n\n", headers), LIMIT)


def test_the_last_event_is_found_in_a_compressed_stream_without_its_end() -> None:
    compressor = zlib.compressobj(wbits=31)
    sent = compressor.compress(DELTA + b"data: [DONE]\n\n") + compressor.flush(zlib.Z_SYNC_FLUSH)
    assert is_whole(left_at(sent, (*SSE, ("content-encoding", "gzip"))), LIMIT)


def test_a_stream_that_cannot_be_decoded_is_cut() -> None:
    stream = b"data: [DONE]\n\n"
    for coding, body in (
        ("gzip", stream),
        ("compress", stream),
        ("gzip", gzip.compress(bytes(LIMIT) + stream)),
    ):
        assert not is_whole(left_at(body, (*SSE, ("content-encoding", coding))), LIMIT)
