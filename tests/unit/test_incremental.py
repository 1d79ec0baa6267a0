from __future__ import annotations

import gzip
import zlib

import brotli
import pytest
import zstandard

from cassette.incremental import decoded_sizes
from tests.support.responses import flushed


@pytest.mark.parametrize(
    ("coding", "wbits"), [("gzip", 31), ("x-gzip", 31), ("deflate", 15), ("deflate", -15)]
)
def test_each_flushed_chunk_brings_its_own_text(coding: str, wbits: int) -> None:
    assert decoded_sizes(flushed(b"a" * 50, b"b", b"c" * 9, wbits=wbits), (coding,)) == [50, 1, 9, 0]


def test_brotli_and_zstd_are_undone_chunk_by_chunk() -> None:
    for coding, packed in (("br", brotli.compress(b"text" * 99)), ("zstd", zstandard.compress(b"text" * 99))):
        sizes = decoded_sizes([packed[:5], packed[5:]], (coding,))
        assert sizes is not None
        assert sum(sizes) == 396


def test_gzip_members_in_a_row_are_one_text_wherever_a_chunk_ends() -> None:
    whole = gzip.compress(b"one") + gzip.compress(b"three")
    assert sum(decoded_sizes([bytes([byte]) for byte in whole], ("gzip",)) or ()) == 8


def test_two_codings_are_undone_the_last_one_first() -> None:
    assert decoded_sizes([brotli.compress(gzip.compress(b"text"))], ("gzip", "br")) == [4]


def test_without_a_coding_chunks_are_their_own_text() -> None:
    assert decoded_sizes([b"abc", b"", b"d"], ()) == [3, 0, 1]


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "compress"])
def test_chunks_that_are_not_coded_so_have_no_sizes(coding: str) -> None:
    assert decoded_sizes([b"\xff\xff no such thing"], (coding,)) is None


def test_a_deflate_stream_that_starts_byte_by_byte_is_still_told_apart() -> None:
    packed = zlib.compress(b"text")
    assert decoded_sizes([packed[:1], packed[1:]], ("deflate",)) == [0, 4]
