"""Content codings: what is undone, what is refused, and how much memory that takes."""

from __future__ import annotations

import gzip
import struct
import tracemalloc
import zlib
from collections.abc import Callable

import brotli
import pytest
import zstandard

from cassette.encodings import MAX_CODINGS, UndecodableError, content_codings, decode, decode_prefix

TEXT = b'data: {"delta":"hello"}\n\n' * 400
LIMIT = 1 << 20
Coder = Callable[[bytes], bytes]


def bare_deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(data) + compressor.flush()


def zstd(data: bytes) -> bytes:
    return bytes(zstandard.ZstdCompressor(write_checksum=True).compress(data))


def brotli_of(data: bytes) -> bytes:
    return bytes(brotli.compress(data))


CODERS: dict[str, Coder] = {"gzip": gzip.compress, "deflate": zlib.compress, "br": brotli_of, "zstd": zstd}
every_coding = pytest.mark.parametrize(("name", "code"), CODERS.items(), ids=CODERS)


@every_coding
def test_every_coding_is_undone(name: str, code: Coder) -> None:
    assert decode(code(TEXT), (name,), LIMIT) == TEXT


@every_coding
def test_a_coded_empty_text_is_the_empty_text(name: str, code: Coder) -> None:
    assert decode(code(b""), (name,), LIMIT) == b""


@every_coding
def test_an_empty_body_is_an_empty_text_and_no_broken_stream(name: str, code: Coder) -> None:
    assert decode(b"", (name,), LIMIT) == b""


@every_coding
def test_a_body_cut_at_any_byte_is_refused(name: str, code: Coder) -> None:
    coded = code(b"hello, hello, hello")
    for end in range(1, len(coded)):
        with pytest.raises(UndecodableError):
            decode(coded[:end], (name,), LIMIT)


@every_coding
def test_bytes_behind_the_end_are_refused(name: str, code: Coder) -> None:
    for more in (b"x", b"\0\0", b"garbage, longer than a header"):
        with pytest.raises(UndecodableError):
            decode(code(TEXT) + more, (name,), LIMIT)


@every_coding
def test_bytes_behind_a_text_of_many_slices_are_refused(name: str, code: Coder) -> None:
    noise = b"".join(zlib.crc32(number.to_bytes(4, "big")).to_bytes(4, "big") for number in range(20_000))
    coded = code(noise)
    assert decode(coded, (name,), LIMIT) == noise
    with pytest.raises(UndecodableError):
        decode(coded + b"x", (name,), LIMIT)


@every_coding
def test_a_cut_body_is_decoded_as_far_as_it_goes(name: str, code: Coder) -> None:
    noise = b"".join(zlib.crc32(number.to_bytes(4, "big")).to_bytes(4, "big") for number in range(100_000))
    coded = code(noise)
    prefix = decode_prefix(coded[: len(coded) * 3 // 4], (name,), LIMIT)
    assert len(prefix) > len(noise) // 4
    assert noise.startswith(prefix)


@every_coding
def test_the_prefix_of_a_whole_body_is_all_of_it(name: str, code: Coder) -> None:
    assert decode_prefix(code(TEXT), (name,), LIMIT) == TEXT


@every_coding
def test_bytes_that_are_no_such_stream_are_refused_as_a_prefix_too(name: str, code: Coder) -> None:
    with pytest.raises(UndecodableError):
        decode_prefix(b"\xff plain text, nothing else", (name,), LIMIT)


@every_coding
def test_the_limit_is_exact(name: str, code: Coder) -> None:
    coded = code(TEXT)
    assert decode(coded, (name,), len(TEXT)) == TEXT
    with pytest.raises(UndecodableError, match=f"more than {len(TEXT) - 1} bytes"):
        decode(coded, (name,), len(TEXT) - 1)


def test_what_was_flushed_of_a_stream_is_all_there_before_its_end_came() -> None:
    compressor = zlib.compressobj(wbits=31)
    sent = compressor.compress(TEXT) + compressor.flush(zlib.Z_SYNC_FLUSH)
    assert decode_prefix(sent, ("gzip",), LIMIT) == TEXT


def test_a_wrong_checksum_is_refused() -> None:
    coded = bytearray(gzip.compress(TEXT))
    coded[-5] ^= 1
    with pytest.raises(UndecodableError, match="gzip"):
        decode(bytes(coded), ("gzip",), LIMIT)


def test_several_gzip_members_are_one_text() -> None:
    members = gzip.compress(b"one ") + gzip.compress(b"") + gzip.compress(b"two")
    assert decode(members, ("gzip",), LIMIT) == b"one two"


def test_many_small_gzip_members_are_one_text() -> None:
    assert decode(gzip.compress(b"ab") * 5_000, ("gzip",), LIMIT) == b"ab" * 5_000


def test_a_second_gzip_member_that_is_cut_is_refused_and_its_first_is_the_prefix() -> None:
    cut = gzip.compress(b"one") + gzip.compress(b"two")[:9]
    assert decode_prefix(cut, ("gzip",), LIMIT) == b"one"
    with pytest.raises(UndecodableError, match="cut short"):
        decode(cut, ("gzip",), LIMIT)


def test_several_zstd_frames_and_a_skippable_one_are_one_text() -> None:
    skippable = struct.pack("<II", 0x184D2A50, 5) + b"12345"
    assert decode(zstd(b"one ") + skippable + zstd(b"two"), ("zstd",), LIMIT) == b"one two"


def test_a_zstd_window_beyond_the_one_for_http_is_refused() -> None:
    large = zstandard.ZstdCompressionParameters(window_log=24)
    compressor = zstandard.ZstdCompressor(compression_params=large).compressobj()
    with pytest.raises(UndecodableError, match="zstd"):
        decode(compressor.compress(TEXT) + compressor.flush(), ("zstd",), LIMIT)


def test_deflate_without_the_zlib_wrapper_is_undone() -> None:
    assert decode(bare_deflate(TEXT), ("deflate",), LIMIT) == TEXT
    assert decode(bare_deflate(b""), ("deflate",), LIMIT) == b""


def test_a_deflate_stream_of_one_byte_is_refused() -> None:
    with pytest.raises(UndecodableError, match="deflate"):
        decode(b"\x78", ("deflate",), LIMIT)


def test_x_gzip_in_any_case_is_gzip() -> None:
    assert decode(gzip.compress(TEXT), (" X-GZip ",), LIMIT) == TEXT


def test_codings_are_undone_from_the_last_to_the_first() -> None:
    assert decode(brotli_of(gzip.compress(TEXT)), ("gzip", "identity", "br"), LIMIT) == TEXT
    with pytest.raises(UndecodableError):
        decode(brotli_of(gzip.compress(TEXT)), ("br", "gzip"), LIMIT)


def test_a_cut_body_of_two_codings_is_decoded_as_far_as_it_goes() -> None:
    noise = b"".join(zlib.crc32(number.to_bytes(4, "big")).to_bytes(4, "big") for number in range(50_000))
    coded = zlib.compress(gzip.compress(noise))
    prefix = decode_prefix(coded[: len(coded) // 2], ("gzip", "deflate"), LIMIT)
    assert len(prefix) > len(noise) // 4
    assert noise.startswith(prefix)


def test_an_unknown_coding_is_refused_even_for_an_empty_body() -> None:
    for body in (b"", b"text"):
        with pytest.raises(UndecodableError, match="'compress'"):
            decode(body, ("compress",), LIMIT)


def test_no_coding_leaves_the_very_body() -> None:
    assert decode(TEXT, (), 0) is TEXT
    assert decode(TEXT, ("identity",), 0) is TEXT


def test_a_list_of_too_many_codings_is_refused() -> None:
    body = b"hi"
    for _ in range(MAX_CODINGS):
        body = gzip.compress(body)
    assert decode(body, ("gzip",) * MAX_CODINGS, LIMIT) == b"hi"
    with pytest.raises(UndecodableError, match="at most"):
        decode(gzip.compress(body), ("gzip",) * (MAX_CODINGS + 1), LIMIT)


@pytest.mark.parametrize(
    ("name", "bomb", "most"),
    [
        ("gzip", gzip.compress(bytes(32 << 20), 1), 4 << 20),
        ("deflate", zlib.compress(bytes(32 << 20), 1), 4 << 20),
        ("zstd", zstd(bytes(64 << 20)), 24 << 20),
        ("br", bytes(brotli.compress(bytes(128 << 20), quality=5)), 64 << 20),
    ],
    ids=["gzip", "deflate", "zstd", "br"],
)
def test_a_bomb_costs_the_limit_and_a_constant(name: str, bomb: bytes, most: int) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(UndecodableError, match="more than"):
            decode(bomb, (name,), LIMIT)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < most


def test_decoding_holds_the_text_once() -> None:
    size = 8 << 20
    coded = gzip.compress(bytes(size), 1)
    tracemalloc.start()
    try:
        assert len(decode(coded, ("gzip",), size)) == size
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < size * 3 // 2


def test_content_codings_are_listed_in_the_order_applied() -> None:
    assert content_codings(["GZip,\tbr", "identity, ,zstd"]) == ("gzip", "br", "zstd")
    assert content_codings([]) == ()


def test_a_line_of_codings_that_was_sent_twice_counts_once() -> None:
    assert content_codings(["gzip", "gzip"]) == ("gzip",)
    assert content_codings(["gzip, gzip"]) == ("gzip", "gzip")
