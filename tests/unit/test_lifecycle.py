from __future__ import annotations

import pytest

from cassette import journal
from cassette.exchange import Exchange, Outcome
from cassette.journal import Kind, Record
from cassette.lifecycle import INLINE_BYTES, Assembler, Body, Dropped, Finished, Span
from tests.support.journals import Take


def feed(assembler: Assembler, *records: tuple[int, int, int, bytes]) -> list[Finished | Dropped]:
    """Feed records as if each lay at offset 0 of segment 1."""
    done = []
    for kind, number, at_ns, payload in records:
        record = Record(kind & ~journal.MORE, number, at_ns, bool(kind & journal.MORE), payload, 0)
        result = assembler.feed(record, 1, 0)
        if result is not None:
            done.append(result)
    return done


def no_span(span: Span) -> bytes:
    raise AssertionError(f"nothing to be read at {span}")


def finished(result: Finished | Dropped) -> Exchange:
    assert isinstance(result, Finished)
    return result.draft.exchange(no_span)


def test_an_exchange_is_put_together() -> None:
    take = Take(3, (b"one ", b"two"))

    (result,) = feed(Assembler(), *take.records())

    assert finished(result) == take.exchange


def test_exchanges_may_interleave() -> None:
    first, second = Take(1, (b"a", b"b")), Take(2, (b"c", b"d"))
    mixed = [record for pair in zip(first.records(), second.records(), strict=True) for record in pair]

    results = feed(Assembler(), *mixed)

    assert [finished(result) for result in results] == [first.exchange, second.exchange]


def test_an_answer_that_ends_before_the_request_does_not_end_the_exchange() -> None:
    head, data, end, *answer = Take(1).records()
    assembler = Assembler()

    assert feed(assembler, head, data, *answer) == []
    (result,) = feed(assembler, end)

    assert finished(result) == Take(1).exchange


def test_trailers_of_both_sides_are_kept() -> None:
    records = list(Take(1).records())
    trailers = (("grpc-status", "0"),)
    records[2] = (Kind.REQUEST_END, 1, 1, journal.encode_trailers((("a", "b"),)))
    records[-1] = (Kind.RESPONSE_END, 1, 1, journal.encode_trailers(trailers))

    exchange = finished(*feed(Assembler(), *records))

    assert exchange.request_trailers == (("a", "b"),)
    assert exchange.response_trailers == trailers


def test_a_head_over_several_records_is_joined() -> None:
    records = list(Take(1).records())
    head = records[0][3]
    pieces = [
        (Kind.REQUEST_HEAD | journal.MORE, 1, 1000, head[:10]),
        (Kind.REQUEST_HEAD | journal.MORE, 1, 1000, head[10:20]),
        (Kind.REQUEST_HEAD, 1, 1000, head[20:]),
    ]

    (result,) = feed(Assembler(), *pieces, *records[1:])

    assert finished(result) == Take(1).exchange


def test_a_body_over_several_records_is_joined() -> None:
    records = list(Take(1, (b"one ", b"two")).records())
    kind, number, at_ns, payload = records[4]
    (result,) = feed(Assembler(), *records[:4], (kind | journal.MORE, number, at_ns, payload), *records[5:])

    assert finished(result) == Take(1, (b"one ", b"two")).exchange


def test_a_failure_ends_an_exchange_with_what_there_is() -> None:
    take = Take(1, (b"half",), outcome=Outcome.UPSTREAM_RESET, reason="after 4 bytes")

    (result,) = feed(Assembler(), *take.records())

    assert finished(result) == take.exchange


def test_a_failure_before_the_answer_leaves_no_response() -> None:
    head, *_ = Take(1).records()
    failed = (Kind.FAILED, 1, 5, journal.encode_failure(Outcome.CLIENT_LEFT, ""))

    exchange = finished(*feed(Assembler(), head, failed))

    assert exchange.response is None
    assert exchange.response_at_ns is None
    assert exchange.outcome is Outcome.CLIENT_LEFT


def test_a_dropped_exchange_is_forgotten() -> None:
    assembler = Assembler()

    results = feed(assembler, *Take(1).records(ended=False), (Kind.DROPPED, 1, 5, b"websocket"))

    assert results == [Dropped(1, "websocket", [1])]
    assert len(assembler) == 0
    assert feed(assembler, (Kind.RESPONSE_END, 1, 6, b"")) == []


def test_records_of_an_exchange_whose_begin_is_gone_are_ignored() -> None:
    assert feed(Assembler(), *list(Take(1).records())[1:]) == []


def test_records_of_an_unknown_kind_are_ignored() -> None:
    head, *rest = Take(1).records()

    (result,) = feed(Assembler(), head, (77, 1, 1, b"?"), *rest)

    assert finished(result) == Take(1).exchange


def test_a_record_that_makes_no_sense_is_an_error_of_its_exchange_alone() -> None:
    assembler = Assembler()
    feed(assembler, *Take(1).records(ended=False), *Take(2).records(ended=False))

    with pytest.raises(ValueError, match="Expecting"):
        feed(assembler, (Kind.FAILED, 1, 1, b"no json"))
    assembler.forget(1)

    assert feed(assembler, (Kind.RESPONSE_END, 1, 1, b"")) == []
    assert len(feed(assembler, (Kind.RESPONSE_END, 2, 1, b""))) == 1


def test_giving_up_ends_what_is_under_way() -> None:
    assembler = Assembler()
    feed(assembler, *Take(1).records(ended=False), *Take(2).records(), *Take(3).records(ended=False))

    given_up = [finished(result) for result in assembler.give_up(Outcome.CRASHED, "it died")]

    assert [(one.request.url[-1], one.outcome, one.reason) for one in given_up] == [
        ("1", Outcome.CRASHED, "it died"),
        ("3", Outcome.CRASHED, "it died"),
    ]
    assert len(assembler) == 0


def held(assembler: Assembler) -> list[int]:
    return [segment for segment in range(20) if assembler.needs(segment)]


def put_in(assembler: Assembler, segment: int, *records: tuple[Kind, int, int, bytes]) -> None:
    for kind, number, at_ns, payload in records:
        assembler.feed(Record(kind, number, at_ns, False, payload, 0), segment, 0)  # noqa: FBT003


def test_an_exchange_holds_the_segments_with_records_of_it_and_no_others() -> None:
    assembler = Assembler()
    head, *rest = Take(1).records()
    put_in(assembler, 4, head)
    put_in(assembler, 6, *Take(2).records(ended=False))
    put_in(assembler, 9, *rest[:-1])

    assert held(assembler) == [4, 6, 9]
    put_in(assembler, 9, (Kind.RESPONSE_END, 2, 1, b""))
    assert held(assembler) == [4, 9]
    put_in(assembler, 10, rest[-1])
    assert held(assembler) == []


def test_records_that_nobody_waits_for_hold_nothing() -> None:
    assembler = Assembler()
    put_in(assembler, 4, *list(Take(1).records(ended=False))[1:])

    assert held(assembler) == []


def test_an_exchange_that_is_dropped_or_forgotten_holds_nothing_and_tells_where_it_was() -> None:
    assembler = Assembler()
    for segment in (4, 6):
        put_in(assembler, segment, *Take(segment).records(ended=False))
        put_in(assembler, segment + 1, (Kind.RESPONSE_DATA, segment, 1, b"more"))

    (dropped,) = feed(assembler, (Kind.DROPPED, 4, 1, b"too long"))
    assert isinstance(dropped, Dropped)
    assert dropped.segments == [4, 5, 1]
    assert assembler.forget(6) == [6, 7]
    assert held(assembler) == []


def test_the_pieces_of_a_head_are_held_before_it_is_whole() -> None:
    assembler = Assembler()
    kind, number, at_ns, payload = next(Take(1).records())
    assembler.feed(Record(kind, number, at_ns, True, payload[:20], 0), 4, 0)  # noqa: FBT003
    assert held(assembler) == [4]
    assembler.feed(Record(kind, number, at_ns, False, payload[20:], 0), 5, 0)  # noqa: FBT003
    assert (held(assembler), len(assembler)) == ([4, 5], 1)


def test_a_head_whose_rest_the_disk_refused_holds_nothing() -> None:
    assembler = Assembler()
    kind, number, at_ns, payload = next(Take(1).records())
    assembler.feed(Record(kind, number, at_ns, True, payload[:20], 0), 4, 0)  # noqa: FBT003
    put_in(assembler, 5, (Kind.DROPPED, number, at_ns, b"the disk was full"))
    assert held(assembler) == []

    feed(assembler, *Take(1).records(ended=False))
    assert len(assembler) == 1


def test_of_a_long_body_only_the_place_is_kept() -> None:
    body = Body()
    body.add(b"a" * INLINE_BYTES, Span(1, 10, INLINE_BYTES))
    body.add(b"b", Span(1, 20, 1))
    body.add(b"cc", Span(2, 30, 2))

    assert body.pieces[1:] == [Span(1, 20, 1), Span(2, 30, 2)]
    assert (
        body.join({Span(1, 20, 1): b"b", Span(2, 30, 2): b"cc"}.__getitem__) == b"a" * INLINE_BYTES + b"bcc"
    )
    assert body.size == INLINE_BYTES + 3


def test_arrivals_are_those_of_the_responses_chunks_and_kept_only_on_demand() -> None:
    head, data, end, answer, *_, ended = Take(1, (b"", b"")).records()
    chunks = [
        (Kind.RESPONSE_DATA, 1, at_ns, bytes(size)) for at_ns, size in ((70, 2), (90, INLINE_BYTES + 1))
    ]
    number, at_ns = end[1:3]

    for keeps, wanted in ((True, [(70, 2), (90, INLINE_BYTES + 1)]), (False, None)):
        (result,) = feed(Assembler(keeps_arrivals=keeps), head, data, end, answer, *chunks, ended)
        assert isinstance(result, Finished)
        arrivals = result.draft.arrivals
        assert (arrivals.pairs() if arrivals is not None else None) == wanted
        assert (number, result.draft.request_ended_at_ns) == (1, at_ns)


def test_places_that_lie_near_each_other_are_read_in_one_go() -> None:
    segments = {1: b"..aaa....bbbbb.cc" + b"." * 9000 + b"ddd", 2: b"....ee......ff"}
    read: list[Span] = []

    def reading(span: Span) -> bytes:
        read.append(span)
        return segments[span.segment][span.at : span.at + span.size]

    body = Body(
        [Span(1, 2, 3), Span(1, 9, 5), Span(1, 15, 2), Span(1, 9017, 3), Span(2, 12, 2), Span(2, 4, 2), b"g"]
    )

    assert body.join(reading) == b"aaabbbbbccdddffeeg"
    assert read == [Span(1, 2, 15), Span(1, 9017, 3), Span(2, 12, 2), Span(2, 4, 2)]


def test_no_more_than_a_megabyte_is_read_in_one_go() -> None:
    segment = bytes(range(256)) * (3 << 12)
    step, size = 20_000, 16_384
    spans = [Span(1, at, size) for at in range(0, len(segment) - size, step)]
    read: list[Span] = []

    def reading(span: Span) -> bytes:
        read.append(span)
        return segment[span.at : span.at + span.size]

    assert Body([*spans]).join(reading) == b"".join(segment[one.at : one.at + size] for one in spans)
    assert len(read) < len(spans) // 10
    assert max(one.size for one in read) <= 1 << 20
