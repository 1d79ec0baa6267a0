"""The upstream of the benchmarks: HTTPS with keep-alive, answers of any length. A process of its own.

/small          1 KB of JSON
/bytes/N        N bytes that are not text
/text/N         N bytes of lines
/stream/N/MS/B  N events of B bytes, one every MS milliseconds, and the end marker
"""

from __future__ import annotations

import asyncio
import ssl
import sys
from pathlib import Path

import trustme

_BINARY = bytes(range(256)) * 256
_TEXT = b"A line of an answer, about as long as lines are in such answers.\n" * 1000
_SMALL = b'{"answer":"' + b"x" * 1000 + b'"}'


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer the requests of one connection."""
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            lines = head.split(b"\r\n")
            path = lines[0].split(b" ")[1]
            length = next(
                (int(line.split(b":")[1]) for line in lines if line.lower().startswith(b"content-length:")), 0
            )
            await reader.readexactly(length)
            await _answer(writer, path)
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def _answer(writer: asyncio.StreamWriter, path: bytes) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    if path == b"/small":
        writer.write(head % len(_SMALL) + _SMALL)
        await writer.drain()
        return
    if path.startswith(b"/stream/"):
        await _stream(writer, *map(int, path.split(b"/")[2:]))
        return
    _, kind, size = path.split(b"/")
    piece = _BINARY if kind == b"bytes" else _TEXT
    left = int(size)
    writer.write(head % left)
    while left:
        writer.write(piece[:left])
        left -= min(left, len(piece))
        await writer.drain()


async def _stream(writer: asyncio.StreamWriter, count: int, every_ms: int, size: int) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
    event = b"data: " + b"x" * size + b"\n\n"
    for _ in range(count):
        writer.write(b"%x\r\n%s\r\n" % (len(event), event))
        await writer.drain()
        await asyncio.sleep(every_ms / 1000)
    writer.write(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")
    await writer.drain()


async def main() -> None:
    """Serve until the process is ended."""
    ca = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("api.openai.com").configure_cert(context)
    ca.cert_pem.write_to_path(str(Path(sys.argv[1]) / "upstream-ca.pem"))
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
