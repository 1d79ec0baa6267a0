from __future__ import annotations

import pytest

from cassette.sse import ServerSentEvent, parse_events


def data_of(body: bytes) -> list[str]:
    return [event.data for event in parse_events(body)]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_every_line_end_of_the_standard_separates_lines(end: bytes) -> None:
    body = end.join([b"data: one", b"", b"data: two", b"", b""])
    assert data_of(body) == ["one", "two"]


def test_crlf_is_one_line_end() -> None:
    assert data_of(b"data: a\r\ndata: b\r\n\r\n") == ["a\nb"]


def test_byte_order_mark_at_the_start_is_dropped() -> None:
    assert data_of(b"\xef\xbb\xbfdata: x\n\n") == ["x"]


def test_data_lines_are_joined_by_line_feeds() -> None:
    assert data_of(b"data: YHOO\ndata: +2\ndata: 10\n\n") == ["YHOO\n+2\n10"]


def test_comments_are_no_events() -> None:
    assert data_of(b": OPENROUTER PROCESSING\n\ndata: x\n\n") == ["x"]


def test_one_space_after_the_colon_belongs_to_the_syntax() -> None:
    assert data_of(b"data:test\n\ndata: test\n\ndata:  test\n\n") == ["test", "test", " test"]


def test_field_without_colon_has_an_empty_value() -> None:
    assert data_of(b"data\n\ndata\ndata\n\n") == ["", "\n"]


def test_event_name_holds_for_one_event() -> None:
    events = parse_events(b"event: ping\ndata: 1\n\ndata: 2\n\n")
    assert [event.type for event in events] == ["ping", "message"]


def test_event_without_data_is_not_dispatched_and_its_name_is_forgotten() -> None:
    assert parse_events(b"event: ping\n\ndata: 1\n\n") == (ServerSentEvent("message", "1"),)


def test_id_holds_until_the_next_one() -> None:
    events = parse_events(b"data: first\nid: 1\n\ndata: second\n\ndata: third\nid\n\n")
    assert [event.last_event_id for event in events] == ["1", "1", ""]


def test_id_with_nul_is_ignored() -> None:
    assert parse_events(b"id: a\0b\ndata: 1\n\n")[0].last_event_id == ""


def test_bytes_that_are_not_utf8_become_replacement_characters() -> None:
    assert data_of(b"data: \xff\n\n") == ["\ufffd"]


def test_unfinished_event_is_discarded_unless_asked_for() -> None:
    body = b"data: 1\n\ndata: 2\n"
    assert data_of(body) == ["1"]
    assert [event.data for event in parse_events(body, keep_unfinished=True)] == ["1", "2"]


def test_unfinished_line_counts_when_unfinished_events_do() -> None:
    assert [event.data for event in parse_events(b"data: {", keep_unfinished=True)] == ["{"]


def test_empty_body_has_no_events() -> None:
    assert parse_events(b"", keep_unfinished=True) == ()
