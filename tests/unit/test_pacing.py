from __future__ import annotations

import pytest

from cassette.pacing import PIECE_BYTES, due, schedule, split_body
from cassette.timing import Timing
from tests.support.aws_frames import event
from tests.support.responses import JSON_LINES, TEXT, response
from tests.support.talk import SSE

EVENTS = (b"data: one\n\n", b"data: two\n\n", b"data: three\n\n", b"data: [DONE]\n\n")
STREAM = response(b"".join(EVENTS), SSE, duration_ns=400)
FRAMES = (
    event("messageStart", {"role": "assistant"}),
    event("contentBlockDelta", {"delta": {"text": "a\n\n"}}),
)


@pytest.mark.parametrize(
    ("body", "pieces"),
    [
        (b"data: 1\n\ndata: 2\n\n", [b"data: 1\n\n", b"data: 2\n\n"]),
        (b"data: 1\r\n\r\ndata: 2\r\n\r\n", [b"data: 1\r\n\r\n", b"data: 2\r\n\r\n"]),
        (b"data: 1\r\rdata: 2\r\r", [b"data: 1\r\r", b"data: 2\r\r"]),
        (b"data: 1\n\r\ndata: 2\r\n\n", [b"data: 1\n\r\n", b"data: 2\r\n\n"]),
        (b"event: a\r\ndata: 1\r\n\r\n", [b"event: a\r\ndata: 1\r\n\r\n"]),
        (b"data: 1\n\n\n\ndata: 2", [b"data: 1\n\n\n\n", b"data: 2"]),
        (b"\n\ndata: 1\n\n", [b"\n\n", b"data: 1\n\n"]),
        (b": comment\n\ndata: 1\n", [b": comment\n\n", b"data: 1\n"]),
        (b"", []),
    ],
)
def test_server_sent_events_are_cut_behind_their_blank_lines(body: bytes, pieces: list[bytes]) -> None:
    assert list(split_body(response(body, SSE))) == pieces


def test_server_sent_events_are_known_without_a_content_type() -> None:
    assert split_body(response(b"".join(EVENTS))) == EVENTS


@pytest.mark.parametrize("content_type", [JSON_LINES, "Application/JSONL; charset=utf-8", ""])
def test_json_lines_are_cut_behind_each_line(content_type: str) -> None:
    body = b'{"a": 1}\n{"b": 2}\r\n\r\n{"c": 3}'
    assert split_body(response(body, content_type)) == (b'{"a": 1}\n', b'{"b": 2}\r\n\r\n', b'{"c": 3}')


@pytest.mark.parametrize("content_type", ["application/vnd.amazon.eventstream", ""])
def test_aws_messages_are_cut_by_their_own_lengths(content_type: str) -> None:
    assert split_body(response(b"".join(FRAMES), content_type)) == FRAMES


def test_what_follows_a_broken_aws_message_stays_together() -> None:
    torn = FRAMES[1][:-3]
    assert split_body(response(FRAMES[0] + torn)) == (FRAMES[0], torn)


def test_a_text_that_is_not_a_stream_goes_out_whole_when_it_is_short() -> None:
    body = b'{"choices": [\n\n]}\n\n'
    assert split_body(response(body, "application/json")) == (body,)


def test_a_long_body_without_events_is_cut_by_size() -> None:
    body = bytes(PIECE_BYTES) + b"rest"
    assert split_body(response(body, "application/octet-stream")) == (bytes(PIECE_BYTES), b"rest")


def test_a_body_that_is_still_compressed_is_not_searched_for_events() -> None:
    coded = response(b"".join(EVENTS), SSE, headers={"content-encoding": ("br",)})
    assert split_body(coded) == (coded.body,)


def times(found: object) -> list[int]:
    return [piece.due_ns for piece in found]  # type: ignore[attr-defined]


def test_at_once_nothing_waits() -> None:
    plan = schedule(STREAM, Timing(50, ((60, len(STREAM.body)),)), 0)
    assert (plan.head_due_ns, times(plan.pieces)) == (0, [0, 0, 0, 0])


def test_without_times_the_duration_is_spread_evenly() -> None:
    plan = schedule(STREAM, None, 1)
    assert (plan.head_due_ns, times(plan.pieces)) == (100, [100, 200, 300, 400])


def test_a_response_in_one_piece_comes_after_the_whole_duration() -> None:
    plan = schedule(response(b"{}", "application/json", duration_ns=400), None, 1)
    assert (plan.head_due_ns, times(plan.pieces)) == (400, [400])


def test_a_response_without_a_body_comes_after_the_whole_duration() -> None:
    plan = schedule(response(duration_ns=400), None, 1)
    assert (plan.head_due_ns, times(plan.pieces)) == (400, [])


def test_an_event_is_due_when_its_last_byte_had_come() -> None:
    # The first chunk ends inside the second event, the second one completes two.
    timing = Timing(50, ((60, 15), (80, 20), (95, len(STREAM.body) - 35)))
    plan = schedule(STREAM, timing, 1)
    assert (plan.head_due_ns, times(plan.pieces)) == (50, [60, 80, 80, 95])


def test_a_body_without_events_goes_out_in_the_chunks_it_came_in() -> None:
    plan = schedule(response(b"abcdef", TEXT), Timing(0, ((10, 1), (20, 3), (30, 2))), 1)
    assert [(piece.due_ns, piece.data) for piece in plan.pieces] == [(10, b"a"), (20, b"bcd"), (30, b"ef")]


def test_times_that_do_not_fit_the_body_are_not_used() -> None:
    edited = Timing(50, ((60, len(STREAM.body) - 1),))
    assert times(schedule(STREAM, edited, 1).pieces) == [100, 200, 300, 400]


@pytest.mark.parametrize(("factor", "head", "last"), [(0.1, 10, 40), (2, 200, 800)])
def test_the_factor_scales_all_times(factor: float, head: int, last: int) -> None:
    plan = schedule(STREAM, None, factor)
    assert (plan.head_due_ns, times(plan.pieces)[-1]) == (head, last)
    timing = Timing(100, ((400, len(STREAM.body)),))
    plan = schedule(STREAM, timing, factor)
    assert (plan.head_due_ns, times(plan.pieces)[-1]) == (head, last)


def test_the_wait_is_counted_from_the_start_and_never_negative() -> None:
    assert due(500, started_ns=1000, now_ns=1200) == 300
    assert due(500, started_ns=1000, now_ns=1700) == 0
