from __future__ import annotations

import base64
import json
from dataclasses import replace

import pytest

from cassette.codec import dumps, loads
from cassette.emitter import EMPTY_DOCUMENT, document_head, interaction_text
from cassette.errors import UnsupportedVersionError
from cassette.model import Cassette, Interaction, Layout, Request, Response
from tests.support.shared import SHARED, corpus_cassettes, needs_shared

ONE = Interaction(0, Request("GET", "http://h/"), Response("200 OK", 200, body=b"one\n"))
TWO = Interaction(1, Request("POST", "http://h/", body=b"\xff"), Response("200 OK", 200, body=b" two\n"))


def test_file_is_its_head_and_the_texts_of_its_interactions() -> None:
    texts = [b"".join(interaction_text(interaction)) for interaction in (ONE, TWO)]
    assert dumps(Cassette((ONE, TWO))) == document_head() + texts[0] + texts[1]
    assert loads(document_head() + texts[1]) == Cassette((TWO,))


def test_cassette_without_interactions_is_the_empty_document_in_every_layout() -> None:
    for layout in Layout:
        assert dumps(Cassette(layout=layout)) == EMPTY_DOCUMENT
    assert loads(EMPTY_DOCUMENT) == Cassette()


@pytest.mark.parametrize("layout", Layout)
def test_cassette_is_read_back_with_its_layout(layout: Layout) -> None:
    cassette = Cassette((ONE, TWO, replace(ONE, id=2, interrupted=" cut\n")), layout=layout)
    assert loads(dumps(cassette)) == cassette


def test_only_version_2_is_written() -> None:
    with pytest.raises(UnsupportedVersionError, match="only version 2 can be written, not 1"):
        dumps(Cassette((ONE,), version=1))


@needs_shared
def test_real_cassettes_are_written_as_they_were_byte_for_byte() -> None:
    paths = corpus_cassettes()
    assert len(paths) > 100
    changed = [path.name for path in paths if dumps(loads(data := path.read_bytes())) != data]
    assert changed == []


@needs_shared
def test_real_cassettes_survive_the_other_layout() -> None:
    for path in corpus_cassettes():
        cassette = loads(path.read_bytes())
        other = replace(cassette, layout=Layout.GO_VCR)
        assert loads(dumps(other)) == other


@needs_shared
def test_every_text_is_written_as_go_wrote_it_in_every_place() -> None:
    assert SHARED is not None
    lines = (SHARED / "vectors" / "scalars.jsonl").read_text("utf-8").splitlines()
    assert len(lines) > 1000
    different = []
    for line in lines:
        vector = json.loads(line)
        data = vector["text"].encode() if "text" in vector else base64.b64decode(vector["base64"])
        cassette = with_text_everywhere(data)
        if dumps(cassette) != vector["yaml"].encode() and not (data.startswith(b"\t") and b"\n" in data):
            different.append(data)
        assert loads(dumps(cassette)) == cassette
        if vector["reads_back"]:
            assert loads(vector["yaml"].encode()) == cassette
    assert different == []


def with_text_everywhere(data: bytes) -> Cassette:
    """The cassette that the vectors were made from."""
    text = data.decode("utf-8", "surrogateescape")
    nothing = Request("", "", proto="", proto_major=0, proto_minor=0)
    empty = Response("", 0, proto="", proto_major=0, proto_minor=0, content_length=0)
    form = {"zz": (), text: (text, "v")}
    request = replace(nothing, url=text, body=data, form=form, headers={"X-A": (text, text)})
    return Cassette((Interaction(0, request, replace(empty, body=data)), Interaction(1, nothing, empty)))
