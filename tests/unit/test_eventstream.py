from __future__ import annotations

import datetime as dt
import struct
import uuid
import zlib

import pytest

from cassette.eventstream import (
    MAX_HEADERS,
    EventMessage,
    decode_event_stream,
    looks_like_event_stream,
)
from tests.support.aws_frames import event, frame, raw_header, string_header


def test_message_is_read_with_its_headers_and_payload() -> None:
    stream = decode_event_stream(event("messageStop", {"stopReason": "end_turn"}))
    assert stream.problem == ""
    (message,) = stream.messages
    assert message.text_header(":event-type") == "messageStop"
    assert message.payload == b'{"stopReason": "end_turn"}'


def test_smallest_message_is_sixteen_bytes() -> None:
    # The specification's own vector: an empty message.
    data = bytes.fromhex("00000010 00000000 05c248eb 7d98c8ff".replace(" ", ""))
    assert decode_event_stream(data).messages == (EventMessage({}, b""),)


def test_every_header_type_is_read() -> None:
    moment = 1_700_000_000_123
    headers = b"".join(
        (
            raw_header("t", 0, b""),
            raw_header("f", 1, b""),
            raw_header("byte", 2, b"\xff"),
            raw_header("short", 3, struct.pack(">h", -2)),
            raw_header("int", 4, struct.pack(">i", 3)),
            raw_header("long", 5, struct.pack(">q", 1 << 40)),
            raw_header("bytes", 6, b"\x00\x02\x00\xff"),
            string_header("string", "é"),
            raw_header("time", 8, struct.pack(">q", moment)),
            raw_header("uuid", 9, bytes(range(16))),
        )
    )
    (message,) = decode_event_stream(frame(headers, b"")).messages
    assert message.headers == {
        "t": True,
        "f": False,
        "byte": -1,
        "short": -2,
        "int": 3,
        "long": 1 << 40,
        "bytes": b"\x00\xff",
        "string": "é",
        "time": dt.datetime(2023, 11, 14, 22, 13, 20, 123_000, tzinfo=dt.UTC),
        "uuid": uuid.UUID(bytes=bytes(range(16))),
    }


def test_header_of_another_type_has_no_text() -> None:
    (message,) = decode_event_stream(frame(raw_header("t", 0, b""), b"")).messages
    assert message.text_header("t") == ""
    assert message.text_header("absent") == ""


@pytest.mark.parametrize("position", [0, 5, 9, 14, 40, -5, -1])
def test_any_flipped_bit_is_noticed(position: int) -> None:
    good = event("a", {"x": 1})
    broken = bytearray(event("b", {"y": 2}))
    broken[position] ^= 1
    stream = decode_event_stream(good + broken)
    assert len(stream.messages) == 1
    assert f"message 1 at byte {len(good)}" in stream.problem


@pytest.mark.parametrize("kept", [1, 11, 12, 30, -1])
def test_cut_stream_yields_the_messages_before_the_cut(kept: int) -> None:
    good = event("a", {"x": 1})
    stream = decode_event_stream(good + event("b", {"y": 2})[:kept])
    assert len(stream.messages) == 1
    assert "cut" in stream.problem


def _prelude(total: int, headers: int) -> bytes:
    lengths = struct.pack(">II", total, headers)
    return lengths + struct.pack(">I", zlib.crc32(lengths))


@pytest.mark.parametrize(
    ("total", "headers"), [(15, 0), (1 << 31, 0), (20, 5), (MAX_HEADERS * 2, MAX_HEADERS + 1)]
)
def test_impossible_lengths_are_refused_although_their_checksum_is_right(total: int, headers: int) -> None:
    assert "impossible lengths" in decode_event_stream(_prelude(total, headers) + bytes(64)).problem


@pytest.mark.parametrize(
    "headers",
    [
        raw_header("x", 10, b""),
        b"\x09short",
        raw_header("x", 7, b"\x00\xffabc"),
        raw_header("x", 9, b"abc"),
        raw_header("x", 5, b"abc"),
        raw_header("x", 7, b"\x00\x01\xff"),
        raw_header("x", 8, b"\x7f" + b"\xff" * 7),
    ],
    ids=["type", "name", "string", "uuid", "integer", "utf-8", "year"],
)
def test_malformed_headers_are_a_problem_and_no_error(headers: bytes) -> None:
    stream = decode_event_stream(frame(headers, b"{}"))
    assert stream.messages == ()
    assert "header" in stream.problem


def test_text_does_not_look_like_an_event_stream() -> None:
    assert looks_like_event_stream(event("a", {}))
    assert not looks_like_event_stream(b'{"id":"msg_1","type":"message"}')
    assert not looks_like_event_stream(b"")
