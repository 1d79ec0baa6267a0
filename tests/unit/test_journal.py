from __future__ import annotations

from cassette import journal
from cassette.exchange import Outcome, RequestHead, ResponseHead
from cassette.journal import HEADER_BYTES, Kind, Record, Torn

ODD = "caf\u00e9 \udcff \U0001f600"


def a_record(payload: bytes = b"hello", kind: int = Kind.REQUEST_DATA) -> bytearray:
    buffer = bytearray(journal.record_bytes(len(payload)) + 64)
    journal.write_record(buffer, 0, kind, 7, 123, payload)
    return buffer


def test_a_record_is_read_as_it_was_written() -> None:
    found = journal.read_record(bytes(a_record(b"hello")), 0)

    assert isinstance(found, Record)
    assert (found.kind, found.exchange, found.at_ns, found.more) == (Kind.REQUEST_DATA, 7, 123, False)
    assert bytes(found.payload) == b"hello"
    assert found.next_at == journal.record_bytes(5)


def test_records_begin_at_multiples_of_four() -> None:
    assert [journal.record_bytes(size) % 4 for size in range(9)] == [0] * 9
    assert journal.write_record(bytearray(200), 0, Kind.REQUEST_DATA, 1, 1, b"x" * 5) == HEADER_BYTES + 8


def test_a_record_of_several_is_marked() -> None:
    found = journal.read_record(bytes(a_record(kind=Kind.RESPONSE_HEAD | journal.MORE)), 0)

    assert isinstance(found, Record)
    assert found.more
    assert found.kind == Kind.RESPONSE_HEAD


def test_zeros_are_the_end() -> None:
    assert journal.read_record(bytes(100), 0) is Torn.END


def test_less_than_a_header_is_the_end() -> None:
    assert journal.read_record(bytes(a_record()), journal.record_bytes(5) + 50) is Torn.END


def test_every_changed_byte_of_a_record_is_noticed() -> None:
    whole = a_record(b"hello")
    for at in range(HEADER_BYTES + 5):
        changed = bytearray(whole)
        changed[at] ^= 0x41
        assert isinstance(journal.read_record(bytes(changed), 0), Torn), at


def test_a_record_without_its_payload_is_broken() -> None:
    buffer = a_record(b"hello")
    buffer[HEADER_BYTES : HEADER_BYTES + 5] = bytes(5)

    assert journal.read_record(bytes(buffer), 0) is Torn.BROKEN


def test_a_record_that_reaches_past_the_buffer_is_broken() -> None:
    assert journal.read_record(bytes(a_record(b"x" * 100))[:100], 0) is Torn.BROKEN


def test_a_size_below_the_header_is_broken() -> None:
    buffer = a_record()
    buffer[0] = HEADER_BYTES - 1

    assert journal.read_record(bytes(buffer), 0) is Torn.BROKEN


def test_the_header_is_stored_behind_the_payload() -> None:
    order: list[int] = []

    class Buffer(bytearray):
        def __setitem__(self, key: slice, value: bytes) -> None:  # type: ignore[override]
            order.append(key.start)
            assert self[:HEADER_BYTES] == bytes(HEADER_BYTES)
            super().__setitem__(key, value)

    journal.write_record(Buffer(100), 0, Kind.REQUEST_DATA, 1, 1, b"hello")

    assert order == [HEADER_BYTES]


def test_heads_survive_with_bytes_that_are_no_text() -> None:
    request = RequestHead("PO\udcfeST", f"https://h/{ODD}", "HTTP/2.0", (("a", ODD), ("a", "")))
    response = ResponseHead("HTTP/1.1", 299, ODD, (("X", "1"), ("x", "2")))

    assert journal.decode_request_head(journal.encode_request_head(request)) == request
    assert journal.decode_response_head(journal.encode_response_head(response)) == response


def test_trailers_survive_and_none_take_no_bytes() -> None:
    assert journal.decode_trailers(journal.encode_trailers((("a", ODD),))) == (("a", ODD),)
    assert journal.encode_trailers(()) == b""
    assert journal.decode_trailers(b"") == ()


def test_every_outcome_survives() -> None:
    for outcome in Outcome:
        assert journal.decode_failure(journal.encode_failure(outcome, ODD)) == (outcome, ODD)
