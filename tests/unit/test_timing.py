from __future__ import annotations

import json
from pathlib import Path
from zlib import crc32

import pytest

from cassette.exchange import Exchange, HeaderPairs, Outcome, RequestHead, ResponseHead
from cassette.timing import Timing, read_timing, timing_line, timing_of, timing_path
from tests.support.responses import flushed, response

REQUEST_ENDED_AT = 1_000


def exchange(body: bytes, headers: HeaderPairs = (), *, response_at_ns: int | None = 1_200) -> Exchange:
    request = RequestHead("POST", "https://api.openai.com/v1/responses", "HTTP/1.1", ())
    head = ResponseHead("HTTP/1.1", 200, "OK", headers) if response_at_ns is not None else None
    return Exchange(request, b"", (), head, body, (), 900, response_at_ns, Outcome.COMPLETE)


def test_times_are_counted_from_the_end_of_the_request() -> None:
    found = timing_of(exchange(b"abcde"), response(b"abcde"), [(1_250, 2), (1_400, 3)], REQUEST_ENDED_AT)
    assert found == Timing(200, ((250, 2), (400, 3)), crc32(b"abcde"))


def test_sizes_are_those_of_the_text_when_the_body_came_compressed() -> None:
    chunks = flushed(b"a" * 100, b"b" * 7)
    arrivals = [(1_300 + at, len(chunk)) for at, chunk in enumerate(chunks)]
    recorded = exchange(b"".join(chunks), (("content-encoding", "gzip"),))
    as_text = response(b"a" * 100 + b"b" * 7)
    plain = timing_of(recorded, as_text, arrivals, REQUEST_ENDED_AT)
    assert plain is None  # not marked as decoded, and the bytes are not the text's
    decoded = type(as_text)(as_text.status, as_text.code, as_text.body, uncompressed=True)
    found = timing_of(recorded, decoded, arrivals, REQUEST_ENDED_AT)
    assert found == Timing(200, ((300, 100), (301, 7)), crc32(as_text.body))


def test_an_answer_that_came_before_the_request_ended_is_due_at_its_end() -> None:
    recorded = exchange(b"ab", response_at_ns=950)
    assert timing_of(recorded, response(b"ab"), [(960, 1), (1_100, 1)], REQUEST_ENDED_AT) == Timing(
        0, ((0, 1), (100, 1)), crc32(b"ab")
    )


def test_records_of_one_moment_are_one_chunk() -> None:
    found = timing_of(exchange(b"abcd"), response(b"abcd"), [(1_300, 2), (1_300, 2)], REQUEST_ENDED_AT)
    assert found == Timing(200, ((300, 4),), crc32(b"abcd"))


def test_an_exchange_without_a_response_has_no_times() -> None:
    assert timing_of(exchange(b"", response_at_ns=None), response(), [], REQUEST_ENDED_AT) is None


def test_chunks_that_are_not_the_body_have_no_times() -> None:
    assert timing_of(exchange(b"abc"), response(b"abc"), [(1_300, 2)], REQUEST_ENDED_AT) is None


def test_a_line_is_one_json_object() -> None:
    line = timing_line(3, Timing(5, ((6, 7),)))
    assert line == b'{"id":3,"head_ns":5,"chunks":[[6,7]]}\n'
    assert json.loads(line) == {"id": 3, "head_ns": 5, "chunks": [[6, 7]]}


def test_times_do_not_fit_another_body_of_the_same_length() -> None:
    timing = Timing(5, ((6, 3),), crc32(b"abc"))
    assert timing.fits(b"abc")
    assert not timing.fits(b"abd")
    assert not timing.fits(b"abcd")
    assert Timing(5, ((6, 3),)).fits(b"abd")


def test_what_was_written_is_read_back() -> None:
    written = {0: Timing(5, ((6, 7), (8, 1))), 2: Timing(0, ()), 3: Timing(0, ((1, 1),), 99)}
    assert read_timing(b"".join(timing_line(id_, timing) for id_, timing in written.items())) == written


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"[1]",
        b"null",
        b"\xff\xfe",
        b'{"id":1}',
        b'{"id":true,"head_ns":1,"chunks":[]}',
        b'{"id":1,"head_ns":-1,"chunks":[]}',
        b'{"id":1,"head_ns":1,"chunks":[],"crc32":"0"}',
        b'{"id":1,"head_ns":1.5,"chunks":[]}',
        b'{"id":1,"head_ns":1,"chunks":[[1]]}',
        b'{"id":1,"head_ns":1,"chunks":[[1,"2"]]}',
        b'{"id":1,"head_ns":1,"chunks":7}',
        b'{"id":0,"head_ns":5,"chu',
        b"[" * 100_000,
    ],
)
def test_a_line_that_is_torn_or_wrong_costs_only_itself(line: bytes) -> None:
    good = Timing(5, ((6, 7),))
    assert read_timing(timing_line(0, good) + line + b"\n" + timing_line(2, good)) == {0: good, 2: good}


def test_times_that_were_edited_backwards_never_go_back() -> None:
    line = b'{"id":0,"head_ns":50,"chunks":[[10,1],[90,1],[70,0],[80,2]]}'
    assert read_timing(line) == {0: Timing(50, ((50, 1), (90, 1), (90, 2)))}


def test_the_later_line_of_an_interaction_counts() -> None:
    lines = timing_line(0, Timing(1, ())) + timing_line(0, Timing(2, ()))
    assert read_timing(lines) == {0: Timing(2, ())}


@pytest.mark.parametrize(
    ("cassette", "beside"),
    [("a/x.yaml", "a/x.timing.jsonl"), ("x.yml", "x.timing.jsonl"), ("x.tape", "x.tape.timing.jsonl")],
)
def test_the_file_lies_beside_the_cassette(cassette: str, beside: str) -> None:
    assert timing_path(Path(cassette)) == Path(beside)
