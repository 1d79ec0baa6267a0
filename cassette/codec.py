"""Cassettes to bytes and back: `loads(dumps(x)) == x`, and `dumps(loads(file)) == file` for those of go-vcr.

The second holds for files that `go.yaml.in/yaml/v4` wrote in one of the two layouts; other files keep their
content and take the nearest layout.
"""

from __future__ import annotations

import itertools

from cassette.emitter import EMPTY_DOCUMENT, document_head, interaction_text
from cassette.errors import UnsupportedVersionError
from cassette.loader import read_cassette
from cassette.model import Cassette

_VERSION = 2


def loads(data: bytes) -> Cassette:
    """Return the cassette that the bytes of a file hold, with the layout it is written in.

    FormatError with the line if it is no cassette, UnsupportedVersionError if it is one of another version
    than 2. No other error, whatever the bytes are, and no more time than their number asks for.
    """
    return read_cassette(data)


def dumps(cassette: Cassette) -> bytes:
    """Return the file of a cassette, as go-vcr v4 writes it in the cassette's layout.

    UnsupportedVersionError if its version is not 2. The interactions keep their order and their ids.
    """
    if cassette.version != _VERSION:
        raise UnsupportedVersionError(f"only version 2 can be written, not {cassette.version}")
    if not cassette.interactions:
        return EMPTY_DOCUMENT
    texts = (interaction_text(interaction, cassette.layout) for interaction in cassette.interactions)
    return b"".join((document_head(), *itertools.chain.from_iterable(texts)))
