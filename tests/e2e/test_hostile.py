"""Clients and upstreams that mean harm: the proxy survives, others are not disturbed, memory stays bounded."""

from __future__ import annotations

import contextlib
import gzip
import zlib

import brotli
import pytest
import zstandard

from tests.support.hostile import (
    JSON,
    MB,
    OK,
    answering,
    bystander,
    forget_peak,
    needs_linux,
    others_are_not_disturbed,
    peak,
    plain,
    recorded,
    resident,
    sink,
    until_closed,
    wiretape,
)
from tests.support.inprocess import InProcess
from tests.support.rawclient import Http1, dial
from tests.support.rawserver import RawServer, read_until
from tests.support.scripts import Received, Reply, whole
from tests.support.upstream import HTTP_1_ONLY, Upstream
from tests.support.wiretape import Session

__all__ = ["bystander", "others_are_not_disturbed", "wiretape"]

LINE = b"POST http://{h}/v1?key=topsecret HTTP/1.1\r\nHost: {h}\r\n"
MALFORMED_REQUESTS = {
    "no request line": b"topsecret\r\n\r\n",
    "no target": b"GET\r\n\r\n",
    "a target that is none": b"GET http://h:99999/topsecret HTTP/1.1\r\nHost: h\r\n\r\n",
    "no host": b"GET /topsecret HTTP/1.1\r\n\r\n",
    "CONNECT to nothing": b"CONNECT :::: HTTP/1.1\r\n\r\n",
    "a line without a colon": LINE + b"topsecret\r\n\r\n",
    "an empty name": LINE + b": topsecret\r\n\r\n",
    "a NUL in a name": LINE + b"X\0topsecret: 1\r\n\r\n",
    "a space behind a name": LINE + b"topsecret : 1\r\n\r\n",
    "two lengths": LINE + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nab",
    "a negative length": LINE + b"Content-Length: -1\r\n\r\nab",
    "a length that is no number": LINE + b"Content-Length: topsecret\r\n\r\nab",
    "two ways to frame": LINE + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "an unknown coding": LINE + b"Transfer-Encoding: topsecret\r\n\r\n0\r\n\r\n",
    "HTTP/2 out of the blue": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}


@pytest.mark.parametrize("what", MALFORMED_REQUESTS)
def test_malformed_request_is_refused_in_our_words_and_goes_nowhere(what: str, wiretape: InProcess) -> None:
    with Upstream(whole(200, [], b"never")) as upstream:
        session, name = plain(wiretape, upstream)
        with dial(session) as sock:
            sock.sendall(MALFORMED_REQUESTS[what].replace(b"{h}", name.encode()))
            head = read_until(sock, b"\r\n\r\n")
        wiretape.close(session)

    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"Wiretape-Error: request_refused" in head
    assert upstream.received == []
    assert "topsecret" not in wiretape.log


@pytest.mark.parametrize("size", [b"-1", b"FFFFFFFFFFFFFFFFFFFFFFFFF", b"zz", b"2;" + b"x" * 5 * MB])
def test_broken_chunk_of_a_request_ends_the_connection(size: bytes, wiretape: InProcess) -> None:
    with RawServer(sink) as upstream:
        session, name = plain(wiretape, upstream)
        with dial(session) as sock:
            head = f"POST http://{name}/v1 HTTP/1.1\r\nHost: {name}\r\nTransfer-Encoding: chunked\r\n\r\n"
            with contextlib.suppress(ConnectionError):
                sock.sendall(head.encode() + size + b"\r\nab\r\n0\r\n\r\n")
            until_closed(sock)
        summary = wiretape.close(session)

    assert summary["interactions"] == 0


MALFORMED_RESPONSES = {
    "no status line": b"topsecret\r\n\r\n",
    "a status that is no number": b"HTTP/1.1 topsecret OK\r\n\r\n",
    "a NUL in a name": b"HTTP/1.1 200 OK\r\ntopsecret\0: 1\r\nContent-Length: 2\r\n\r\nok",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
    "a negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok",
    "two ways to frame": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "an unknown coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: topsecret\r\n\r\nok",
    "nothing": b"",
    "half a head": b"HTTP/1.1 200 OK\r\ntopsecret: topsecr",
    "a head without end": b"HTTP/1.1 200 OK\r\ntopsecret: " + b"x" * 5 * MB,
}


@pytest.mark.parametrize("what", MALFORMED_RESPONSES)
def test_malformed_response_is_told_in_our_words_and_is_no_interaction(
    what: str, wiretape: InProcess
) -> None:
    with RawServer(answering(MALFORMED_RESPONSES[what])) as upstream:
        session, name = plain(wiretape, upstream)
        client = Http1(dial(session))
        answer = client.ask("POST", f"http://{name}/v1", [JSON], b"{}", host=name)
        client.close()
        summary = wiretape.close(session)

    assert (answer.status, answer.header("wiretape-error")) == (502, "upstream_broke_off")
    assert len(answer.body) < 1000
    assert summary["interactions"] == 0
    assert "topsecret" not in wiretape.log


BROKEN_BODIES = {
    "a chunk size past all bounds": b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n" + b"F" * 30 + b"\r\nok",
    "a negative chunk": b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n-2\r\nok",
    "a chunk's head without end": b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n2;" + b"x" * 5 * MB,
    "trailers without end": b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX: " + b"x" * 5 * MB,
    "a length past all bounds": b"Content-Length: 99999999999999999999\r\n\r\nok",
}


@pytest.mark.parametrize("what", BROKEN_BODIES)
def test_broken_body_ends_the_connection_and_is_interrupted(what: str, wiretape: InProcess) -> None:
    with RawServer(answering(b"HTTP/1.1 200 OK\r\n" + BROKEN_BODIES[what])) as upstream:
        session, name = plain(wiretape, upstream)
        with dial(session) as sock:
            sock.sendall(f"GET http://{name}/v1 HTTP/1.1\r\nHost: {name}\r\n\r\n".encode())
            seen = until_closed(sock)
        summary = wiretape.close(session)

    assert b"ok" in seen
    assert len(seen) < 1000
    assert (summary["interactions"], summary["interrupted"]) == (0, 1)


CONTROLS = {
    "folded": b"one\r\n two",
    "a NUL": b"a\0b",
    "a bare CR": b"a\rb",
    "escapes and raw bytes": b"\x01\x1b[2J\x7f\x80\xff\xc3\xa9",
    "what YAML reads as something": b"{a: [&b *c, !!python/object:os.system x]} # no",
}


@pytest.mark.parametrize("what", CONTROLS)
def test_odd_header_values_reach_the_client_as_they_are_and_can_be_loaded(
    what: str, wiretape: InProcess
) -> None:
    value = CONTROLS[what]
    with RawServer(answering(OK.replace(b"\r\n", b"\r\nContent-Type: " + value + b"\r\n", 1))) as upstream:
        session, name = plain(wiretape, upstream)
        client = Http1(dial(session))
        client.send(f"GET http://{name}/v1 HTTP/1.1\r\nHost: {name}\r\n\r\n".encode())
        seen = client.until(b"\r\n\r\nok")
        client.close()
        wiretape.close(session)

    assert b"Content-Type: " + value + b"\r\n" in seen
    (one,) = recorded(session)
    (loaded,) = one.response.headers["Content-Type"]
    assert loaded.encode("utf-8", "surrogateescape").split() == value.split()


def test_many_headers_and_a_url_of_a_megabyte_pass_and_are_recorded(wiretape: InProcess) -> None:
    target = "/v1?" + "a=b&" * 250_000
    flood = [(f"X-{number}", "v") for number in range(5_000)]
    with RawServer(answering(OK)) as upstream:
        session, name = plain(wiretape, upstream, "--keep-header=X-*")
        for path, headers in ((target, []), ("/v1", flood)):
            client = Http1(dial(session))
            assert client.ask("POST", f"http://{name}{path}", headers, b"{}", host=name).body == b"ok"
            client.close()
        wiretape.close(session)

    long, many = recorded(session)
    assert long.request.url == f"http://{name}{target}"
    assert len(many.request.headers) == 5_000


def test_flood_of_headers_is_refused_on_both_sides(wiretape: InProcess) -> None:
    flood = "".join(f"X-{number}: v\r\n" for number in range(100_000)).encode()
    with RawServer(answering(OK.replace(b"\r\n", b"\r\n" + flood, 1))) as upstream:
        session, name = plain(wiretape, upstream)
        statuses = []
        for headers in (b"", flood):
            with dial(session) as sock:
                sock.sendall(
                    f"GET http://{name}/v1 HTTP/1.1\r\nHost: {name}\r\n".encode() + headers + b"\r\n"
                )
                statuses.append(read_until(sock, b"\r\n\r\n").split(b" ")[1])
        summary = wiretape.close(session)

    assert statuses == [b"502", b"400"]
    assert summary["interactions"] == 0


@needs_linux
def test_head_without_end_is_refused_before_it_fills_the_memory(wiretape: InProcess) -> None:
    pid = wiretape.status()["daemon"]["worker_pid"]
    session = wiretape.open()
    before = resident(pid)
    forget_peak(pid)
    for piece in (b"X-Flood: 1\r\n", b"x" * 1000):
        with dial(session) as sock:
            sock.sendall(b"GET http://h/ HTTP/1.1\r\nHost: h\r\nX: ")
            try:
                for _ in range(64):
                    sock.sendall(piece * (MB // len(piece)))
            except ConnectionError:
                pass
            else:
                pytest.fail("64 MB of a head were taken")
    assert peak(pid) - before < 64 << 20
    wiretape.close(session)


def test_head_that_is_too_long_is_told_so(wiretape: InProcess) -> None:
    session = wiretape.open()
    with dial(session) as sock:
        sock.sendall(b"GET http://h/ HTTP/1.1\r\nHost: h\r\nX: " + b"x" * (4 << 20))
        assert sock.recv(1 << 16).startswith(b"HTTP/1.1 431 ")
    wiretape.close(session)


def _bomb(coding: str, size: int) -> bytes:
    zeros = bytes(1 << 20)
    if coding == "gzip":
        packer = zlib.compressobj(9, wbits=31)
        return b"".join(packer.compress(zeros) for _ in range(size >> 20)) + packer.flush()
    if coding == "zstd":
        frame = zstandard.ZstdCompressor(level=3).compressobj()
        return b"".join(frame.compress(zeros) for _ in range(size >> 20)) + frame.flush()
    if coding == "gzip, gzip":
        return gzip.compress(_bomb("gzip", size))
    brotli_packer = brotli.Compressor(quality=5)
    return b"".join(brotli_packer.process(zeros) for _ in range(size >> 20)) + bytes(brotli_packer.finish())


@needs_linux
@pytest.mark.parametrize("coding", ["gzip", "br", "zstd", "gzip, gzip"])
def test_bomb_is_recorded_as_it_came_in_bounded_memory(coding: str, wiretape: InProcess) -> None:
    bomb = _bomb(coding, 160 << 20)
    headers = [("Content-Type", "text/plain"), ("Content-Encoding", coding)]
    scribe = wiretape.status()["daemon"]["scribe_pid"]
    with Upstream(whole(200, headers, bomb), alpn=HTTP_1_ONLY) as upstream:
        env = {"WIRETAPE_MAX_BODY": "4MB"}
        session, name = _plain_with(wiretape, upstream, env)
        before = resident(scribe)
        forget_peak(scribe)
        client = Http1(dial(session))
        assert client.ask("GET", f"http://{name}/v1", host=name).body == bomb
        client.close()
        wiretape.close(session)

    (one,) = recorded(session)
    assert one.response.body == bomb
    assert not one.response.uncompressed
    assert peak(scribe) - before < 64 << 20


def _plain_with(wiretape: InProcess, upstream: Upstream, env: dict[str, str]) -> tuple[Session, str]:
    before = dict(wiretape.environment)
    wiretape.environment.update(env)
    try:
        return plain(wiretape, upstream)
    finally:
        wiretape.environment.clear()
        wiretape.environment.update(before)


AWKWARD = {
    "every byte": bytes(range(256)),
    "every control character": "".join(map(chr, [*range(0x20), *range(0x7F, 0xA0)])).encode(),
    "a byte order mark": b"\xef\xbb\xbfbom",
    "UTF-16": "text".encode("utf-16"),
    "half of a surrogate pair": b"\xed\xa0\x80",
    "a document's start and end": b"---\na: b\n...\n--- c\n",
    "YAML": b"- &a [*a, !!python/object:os.system {x: y}]\n? <<: *a\n",
    "tabs and spaces": b"\t\n \t\n  \n x \n\n ",
    "Unicode's line breaks": "a\x85b\u2028c\u2029 d\r\ne\rf\n".encode(),
    "a long line": b"x" * 5 * MB,
    "a long line with one break": b"y" * MB + b"\n" + b"z" * MB,
    "nothing but line breaks": b"\n" * 10 * MB,
    "nothing but quotes": b"\"'\\" * 300_000,
    "noise": b"".join(zlib.crc32(b"%d" % number).to_bytes(4, "big") for number in range(50_000)),
}


@pytest.mark.parametrize("layout", ["charm", "go-vcr"])
def test_bodies_that_break_yaml_come_back_byte_for_byte(layout: str, wiretape: InProcess) -> None:
    bodies = [body for body in AWKWARD.values() if layout == "charm" or len(body) < MB]

    def echo(request: Received, reply: Reply) -> None:
        reply.head(200, [("Content-Type", "text/plain"), ("Content-Length", str(len(request.body)))])
        reply.data(request.body)
        reply.end()

    with Upstream(echo, alpn=HTTP_1_ONLY) as upstream:
        session, name = plain(wiretape, upstream, f"--layout={layout}")
        client = Http1(dial(session))
        for body in bodies:
            assert client.ask("POST", f"http://{name}/v1", [], body, host=name).body == body
        client.close()
        wiretape.close(session)

    found = recorded(session)
    assert [one.request.body for one in found] == bodies
    assert [one.response.body for one in found] == bodies
