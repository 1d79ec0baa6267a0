from __future__ import annotations

import zlib

import pytest

from addons.playback import Framing, Playback
from cassette.model import Response
from cassette.pacing import schedule
from tests.support.responses import response
from tests.support.talk import SSE

BODY = b"data: 1\n\ndata: 2\n\n"


def playback(recorded: Response, *, compressed: bool = False) -> Playback:
    return Playback(recorded, schedule(recorded, None, 1), 0, compressed)


def head(recorded: Response, framing: Framing, *, compressed: bool = False) -> list[bytes]:
    whole = playback(recorded, compressed=compressed).head(framing)
    assert whole.endswith(b"\r\n\r\n")
    return whole[:-4].split(b"\r\n")


@pytest.mark.parametrize(
    ("recorded", "method", "http_1_0", "framing"),
    [
        (response(BODY, SSE), "POST", False, Framing.CHUNKED),
        (response(BODY, SSE), "POST", True, Framing.UNTIL_CLOSE),
        (response(BODY, SSE, content_length=len(BODY)), "POST", False, Framing.LENGTH),
        (response(BODY, SSE, content_length=len(BODY)), "GET", True, Framing.LENGTH),
        (response(BODY, SSE, content_length=len(BODY) + 1), "GET", False, Framing.CHUNKED),
        (response(content_length=0), "GET", False, Framing.LENGTH),
        (response(), "GET", False, Framing.CHUNKED),
        (response(content_length=9), "HEAD", False, Framing.NO_BODY),
        (response(code=204, content_length=0), "DELETE", False, Framing.NO_BODY),
        (response(code=304, content_length=0), "GET", False, Framing.NO_BODY),
    ],
)
def test_the_framing_is_the_recorded_one_where_it_can_be(
    recorded: Response, method: str, http_1_0: bool, framing: Framing
) -> None:
    assert playback(recorded).framing(method, http_1_0=http_1_0) is framing


def test_a_body_that_is_compressed_on_the_way_has_no_known_length() -> None:
    recorded = response(BODY, SSE, content_length=len(BODY))
    assert playback(recorded, compressed=True).framing("GET", http_1_0=False) is Framing.CHUNKED


def test_status_reason_and_headers_are_the_recorded_ones() -> None:
    recorded = response(
        b"{}", "application/json", 429, "429 Slow Down", {"X-Ratelimit-Reset": ("7", "8")}, content_length=2
    )
    assert head(recorded, Framing.LENGTH) == [
        b"HTTP/1.1 429 Slow Down",
        b"Content-Type: application/json",
        b"X-Ratelimit-Reset: 7",
        b"X-Ratelimit-Reset: 8",
        b"Content-Length: 2",
    ]


def test_framing_headers_that_were_kept_are_replaced() -> None:
    recorded = response(headers={"Content-length": ("7",), "Transfer-Encoding": ("gzip",), "Trailer": ("X",)})
    assert head(recorded, Framing.CHUNKED) == [b"HTTP/1.1 200 OK", b"Transfer-Encoding: chunked"]


def test_answer_to_head_says_how_long_a_body_would_be() -> None:
    assert head(response(content_length=9), Framing.NO_BODY)[1:] == [b"Content-Length: 9"]
    assert head(response(), Framing.NO_BODY)[1:] == []
    assert head(response(code=204, status="204 No Content", content_length=0), Framing.NO_BODY)[1:] == []


def test_no_header_can_break_out_of_its_line() -> None:
    recorded = response(status="200 O\r\nX: 1", headers={"A": ("1\r\nEvil: 2",), "B b": ("3",), "": ("4",)})
    assert head(recorded, Framing.UNTIL_CLOSE) == [b"HTTP/1.1 200 O X: 1", b"A: 1 Evil: 2"]


def test_header_bytes_that_are_not_utf_8_go_out_as_they_came() -> None:
    recorded = response(headers={"A": (b"caf\xe9".decode("utf-8", "surrogateescape"),)})
    assert head(recorded, Framing.UNTIL_CLOSE)[1] == b"A: caf\xe9"


def test_each_event_is_a_chunk_of_its_own_and_the_end_another_write() -> None:
    recorded = response(BODY, SSE, duration_ns=100)
    assert list(playback(recorded).body(Framing.CHUNKED)) == [
        (50, b"9\r\ndata: 1\n\n\r\n"),
        (100, b"9\r\ndata: 2\n\n\r\n"),
        (100, b"0\r\n\r\n"),
    ]
    assert [data for _, data in playback(recorded).body(Framing.LENGTH)] == [b"data: 1\n\n", b"data: 2\n\n"]


def test_without_a_body_nothing_follows_the_head() -> None:
    assert list(playback(response(b"kept", content_length=4)).body(Framing.NO_BODY)) == []
    assert list(playback(response()).body(Framing.CHUNKED)) == [(0, b"0\r\n\r\n")]


def test_each_event_can_be_decompressed_as_soon_as_it_is_there() -> None:
    player = playback(response(BODY, SSE), compressed=True)
    assert b"Content-Encoding: gzip" in player.head(Framing.CHUNKED)
    unpacker = zlib.decompressobj(wbits=31)
    seen = [unpacker.decompress(data) for _, data in player.body(Framing.UNTIL_CLOSE)]
    assert seen == [b"data: 1\n\n", b"data: 2\n\n", b""]
    assert unpacker.eof
