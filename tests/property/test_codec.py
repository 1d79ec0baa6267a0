from __future__ import annotations

import contextlib

from hypothesis import given
from hypothesis import strategies as st

from cassette.codec import dumps, loads
from cassette.durations import format_duration, parse_duration
from cassette.emitter import interaction_text
from cassette.errors import FormatError
from cassette.model import Cassette, Interaction, Layout, Request, Response

FRAGMENTS = [
    *[
        "\n",
        "\n\n",
        "\r\n",
        " ",
        "  ",
        "\t",
        "\0",
        "\x1b",
        "\x85",
        "\xa0",
        "\u2028",
        "\u2029",
        "\ufeff",
        "😀",
        "é",
    ],
    *[
        "#",
        ": ",
        ":",
        "- ",
        "---",
        "...",
        "'",
        '"',
        "\\",
        "|",
        ">",
        "&a",
        "*a",
        "!!binary",
        "<<",
        "{",
        "]",
        ",",
        "?",
    ],
    *["null", "true", "yes", "0x", "1e5", "1:30", "2001-01-01", ".5", "_", "data: {}", "x"],
]
awkward = st.lists(st.sampled_from(FRAGMENTS), max_size=8).map("".join)
bodies = st.one_of(st.binary(max_size=200), st.text(max_size=60).map(str.encode), awkward.map(str.encode))
texts = bodies.map(lambda data: data.decode("utf-8", "surrogateescape"))
values = st.dictionaries(texts, st.lists(texts, max_size=3).map(tuple), max_size=4)
items = st.lists(texts, max_size=2).map(tuple)
integers = st.integers(-(1 << 63), (1 << 63) - 1)

requests = st.builds(
    Request,
    method=texts,
    url=texts,
    body=bodies,
    headers=values,
    form=values,
    host=texts,
    proto=texts,
    proto_major=integers,
    proto_minor=integers,
    content_length=integers,
    transfer_encoding=items,
    trailer=values,
    remote_addr=texts,
    request_uri=texts,
)
responses = st.builds(
    Response,
    status=texts,
    code=integers,
    body=bodies,
    headers=values,
    proto=texts,
    proto_major=integers,
    proto_minor=integers,
    transfer_encoding=items,
    trailer=values,
    content_length=integers,
    uncompressed=st.booleans(),
    duration_ns=integers,
)
interactions = st.builds(Interaction, id=integers, request=requests, response=responses, interrupted=texts)
layouts = st.sampled_from(Layout)


@given(st.lists(interactions, max_size=3).map(tuple), layouts)
def test_what_was_written_is_read_back_equal(found: tuple[Interaction, ...], layout: Layout) -> None:
    cassette = Cassette(found, layout=layout if found else Layout.CHARM)
    assert loads(dumps(cassette)) == cassette


@given(bodies, texts, layouts)
def test_any_body_and_name_is_read_back_equal(body: bytes, name: str, layout: Layout) -> None:
    request = Request("GET", "http://h/", body=body, headers={name: (name, "v"), "Z": (name,)})
    cassette = Cassette((Interaction(0, request, Response("", 0, body=body)),), layout=layout)
    assert loads(dumps(cassette)) == cassette


@given(interactions, interactions, layouts)
def test_text_of_an_interaction_does_not_depend_on_the_others(
    one: Interaction, other: Interaction, layout: Layout
) -> None:
    alone, both = (dumps(Cassette(found, layout=layout)) for found in ((one,), (one, other)))
    assert both == alone + b"".join(interaction_text(other, layout))


@given(st.binary(max_size=300))
def test_any_bytes_are_a_cassette_or_a_format_error(data: bytes) -> None:
    with contextlib.suppress(FormatError):
        assert isinstance(loads(data), Cassette)


@given(
    st.lists(
        st.sampled_from([*FRAGMENTS, "version: 2\n", "interactions:\n", "request:\n", "body: "]), max_size=15
    )
)
def test_any_pieces_of_yaml_are_a_cassette_or_a_format_error(pieces: list[str]) -> None:
    for head in ("", "version: 2\n", "version: 2\ninteractions:\n- request:\n    headers:\n      "):
        with contextlib.suppress(FormatError):
            assert isinstance(loads((head + "".join(pieces)).encode()), Cassette)


@given(interactions, layouts, st.data())
def test_damaged_cassette_is_a_cassette_or_a_format_error(
    interaction: Interaction, layout: Layout, data: st.DataObject
) -> None:
    written = dumps(Cassette((interaction,), layout=layout))
    start = data.draw(st.integers(0, len(written)))
    end = data.draw(st.integers(start, min(len(written), start + 20)))
    patch = data.draw(st.one_of(st.binary(max_size=5), awkward.map(str.encode)))
    damaged = written[:start] + patch + written[end:]
    try:
        read = loads(damaged)
    except FormatError:
        return
    assert loads(dumps(read)).interactions == read.interactions


@given(integers)
def test_any_duration_is_read_back_equal(nanoseconds: int) -> None:
    assert parse_duration(format_duration(nanoseconds)) == nanoseconds


@given(st.text(max_size=20))
def test_any_text_is_a_duration_or_a_format_error(text: str) -> None:
    with contextlib.suppress(FormatError):
        assert -(1 << 63) <= parse_duration(text) < 1 << 63
