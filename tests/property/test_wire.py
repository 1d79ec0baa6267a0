"""What holds for any exchange and any bytes: codings round-trip, and nothing that comes in makes us raise."""

from __future__ import annotations

import contextlib
import gzip
import zlib
from collections.abc import Callable, Sequence

import brotli
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from cassette.encodings import UndecodableError, decode, decode_prefix
from cassette.exchange import Exchange, HeaderPairs, Outcome, RequestHead, ResponseHead
from cassette.forms import parse_form
from cassette.gohttp import canonical_name
from cassette.headerfilter import HeaderPolicy, HeaderRules
from cassette.wire import HostField, WireRules, to_interaction

LIMIT = 1 << 20


def bare_deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(data) + compressor.flush()


def zstd(data: bytes) -> bytes:
    return bytes(zstandard.ZstdCompressor().compress(data))


def brotli_of(data: bytes) -> bytes:
    return bytes(brotli.compress(data, quality=3))


CODERS: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("gzip", gzip.compress),
    ("x-gzip", gzip.compress),
    ("deflate", zlib.compress),
    ("deflate", bare_deflate),
    ("br", brotli_of),
    ("zstd", zstd),
]
NAMES = sorted({name for name, _ in CODERS} | {"identity", "compress"})

# Long runs and noise, so that there is something to compress and a text spans several slices.
texts = st.one_of(
    st.binary(max_size=2000),
    st.builds(lambda part, times: part * times, st.binary(max_size=40), st.integers(0, 3000)),
)
wire_text = st.binary(max_size=30).map(lambda raw: raw.decode("utf-8", "surrogateescape"))


@given(texts, st.lists(st.sampled_from(CODERS), max_size=4))
def test_any_text_in_any_codings_is_decoded_to_itself(
    text: bytes, coders: list[tuple[str, Callable[[bytes], bytes]]]
) -> None:
    body = text
    for _, code in coders:
        body = code(body)
    names = [name for name, _ in coders]
    assert decode(body, names, LIMIT) == text
    assert decode_prefix(body, names, LIMIT) == text


@given(st.lists(texts, min_size=1, max_size=4), st.sampled_from([("gzip", gzip.compress), ("zstd", zstd)]))
def test_any_split_of_a_text_into_members_is_one_text(
    parts: Sequence[bytes], coder: tuple[str, Callable[[bytes], bytes]]
) -> None:
    name, code = coder
    assert decode(b"".join(map(code, parts)), (name,), LIMIT) == b"".join(parts)


@given(texts, st.sampled_from(CODERS), st.floats(0, 1))
def test_any_cut_of_a_body_decodes_to_a_beginning_of_its_text(
    text: bytes, coder: tuple[str, Callable[[bytes], bytes]], where: float
) -> None:
    name, code = coder
    body = code(text)
    assert text.startswith(decode_prefix(body[: int(len(body) * where)], (name,), LIMIT))


@given(st.binary(max_size=300), st.lists(st.sampled_from(NAMES), max_size=3), st.integers(0, 1000))
def test_any_bytes_decode_within_the_limit_or_are_undecodable(
    body: bytes, names: list[str], max_bytes: int
) -> None:
    for undo in (decode, decode_prefix):
        try:
            text = undo(body, names, max_bytes)
        except UndecodableError:
            continue
        assert text == body or len(text) <= max_bytes


@given(texts, st.sampled_from(CODERS), st.data())
def test_a_body_with_a_changed_byte_decodes_or_is_undecodable(
    text: bytes, coder: tuple[str, Callable[[bytes], bytes]], data: st.DataObject
) -> None:
    name, code = coder
    body = bytearray(code(text))
    body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(UndecodableError):
        assert len(decode(bytes(body), (name,), LIMIT)) <= LIMIT


@given(wire_text)
def test_the_case_of_a_name_is_settled_at_once_and_nothing_else_changes(name: str) -> None:
    canonical = canonical_name(name)
    assert canonical_name(canonical) == canonical
    assert canonical.lower() == name.lower()


@given(st.text("aBc-_.9", max_size=12))
def test_the_case_in_which_a_name_was_sent_does_not_matter(name: str) -> None:
    assert canonical_name(name.upper()) == canonical_name(name.lower()) == canonical_name(name)


@given(st.lists(st.tuples(st.text("ab +%&=;", max_size=4), st.text("ab +%&=;", max_size=4)), max_size=6))
def test_form_values_come_back_in_order(pairs: list[tuple[str, str]]) -> None:
    def escape(text: str) -> str:
        return "".join(f"%{byte:02x}" for byte in text.encode())

    query = "&".join(f"{escape(key)}={escape(value)}" for key, value in pairs)
    form = parse_form("GET", f"https://api.example.com/?{query}", "", b"")
    assert form == {key: tuple(v for k, v in pairs if k == key) for key, _ in pairs}


TELLING_HEADERS = (
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "pragma",
    "trailer",
    "transfer-encoding",
    "user-agent",
)
TELLING_VALUES = (
    "gzip",
    "br, gzip",
    "chunked",
    "close",
    "0",
    "7",
    "no-cache",
    "text/event-stream",
    "application/x-www-form-urlencoded",
)
headers: st.SearchStrategy[HeaderPairs] = st.lists(
    st.tuples(st.sampled_from(TELLING_HEADERS) | wire_text, st.sampled_from(TELLING_VALUES) | wire_text),
    max_size=6,
).map(tuple)
urls = st.one_of(
    wire_text,
    wire_text.map(lambda rest: f"https://api.example.com:8443/{rest}"),
    wire_text.map(lambda rest: f"http://{rest}"),
)
methods = st.sampled_from(["GET", "HEAD", "POST"]) | wire_text
versions = st.sampled_from(["HTTP/1.0", "HTTP/1.1", "HTTP/2.0"]) | wire_text
times = st.integers(0, 2**63)
bodies = st.binary(max_size=60) | st.binary(max_size=60).map(gzip.compress) | st.just(b"data: [DONE]\n\n")
exchanges = st.builds(
    Exchange,
    request=st.builds(RequestHead, methods, urls, versions, headers),
    request_body=bodies,
    request_trailers=headers,
    response=st.none()
    | st.builds(
        ResponseHead, versions, st.sampled_from([101, 200, 204, 304]) | st.integers(), wire_text, headers
    ),
    response_body=bodies,
    response_trailers=headers,
    started_at_ns=times,
    response_at_ns=st.none() | times,
    outcome=st.sampled_from(Outcome),
    reason=wire_text,
)
EVERYTHING = HeaderRules(keep=("*",))
policies = st.sampled_from([HeaderPolicy(), HeaderPolicy(request=EVERYTHING, response=EVERYTHING)])
rules = st.builds(WireRules, st.sampled_from(HostField), policies, st.integers(0, 1000))


@given(exchanges, rules)
def test_any_exchange_becomes_an_interaction(exchange: Exchange, rules: WireRules) -> None:
    interaction = to_interaction(exchange, rules, id=3)
    response = interaction.response
    assert interaction.id == 3
    assert interaction.request.proto == "HTTP/1.1"
    assert response.duration_ns >= 0
    assert response.content_length >= -1
    if exchange.outcome is Outcome.COMPLETE:
        assert interaction.interrupted == ""
    elif interaction.interrupted:
        assert interaction.interrupted.startswith(exchange.outcome.value)
    if response.uncompressed:
        assert response.content_length == -1
        assert not {"Content-Encoding", "Content-Length"} & response.headers.keys()
    else:
        assert response.body == (exchange.response_body if exchange.response else b"")


@given(exchanges, st.sampled_from(HostField))
def test_the_same_exchange_becomes_the_same_interaction(exchange: Exchange, host_field: HostField) -> None:
    rules = WireRules(host_field, HeaderPolicy(), 1000)
    assert to_interaction(exchange, rules, id=0) == to_interaction(exchange, rules, id=0)
