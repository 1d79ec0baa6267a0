"""Real clients, each in an environment of its own, under `wiretape run`: they stream and are recorded."""

from __future__ import annotations

import functools
import json
import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.support.goplan import GoGroup, GoRequest, plan_text
from tests.support.recorded import interactions
from tests.support.scripts import DEADLINE_S, Gate, Received, Reply, gzip_pieces
from tests.support.toolchains import CLIENTS
from tests.support.upstream import HTTP_2_FIRST, Upstream
from tests.support.wiretape import Wiretape, clean_command

BASE_URL = "https://api.openai.com/v1"
URL = f"{BASE_URL}/chat/completions"
# In two parts: in one it looks like somebody's key.
KEY = "sk-" + "e2e0" * 12
REQUEST = {"model": "made", "messages": [{"role": "user", "content": "Say three words."}], "stream": True}
BODY = json.dumps(REQUEST)
WORDS = ("alpha", "beta", "gamma")


def _event(word: str) -> bytes:
    choice = {"index": 0, "delta": {"content": word}, "finish_reason": None}
    chunk = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "made", "choices": [choice]}
    return f"data: {json.dumps(chunk)}\n\n".encode()


EVENTS = [*(_event(word) for word in WORDS), b"data: [DONE]\n\n"]


class Streaming:
    """An upstream that sends a word and waits until the client has printed it."""

    def __init__(self) -> None:
        self.gates = {word: Gate(f"{word!r} on the client's output") for word in WORDS}

    def play(self, request: Received, reply: Reply) -> None:
        """Answer one chat completion, gzipped if the client takes that."""
        packed = "gzip" in (request.header("accept-encoding") or "")
        parts = gzip_pieces(EVENTS) if packed else EVENTS
        coding = [("Content-Encoding", "gzip")] if packed else []
        reply.head(200, [("Content-Type", "text/event-stream"), *coding])
        for part, gate in zip(parts, self.gates.values(), strict=False):
            reply.data(part)
            gate.wait()
        reply.data(parts[-1])
        reply.end()

    def watch(self, client: subprocess.Popen[bytes]) -> bytes:
        """Read the client's output to its end, opening the gates of the words that it printed."""
        assert client.stdout is not None
        printed = b""
        while data := os.read(client.stdout.fileno(), 65536):
            printed += data
            for word, gate in self.gates.items():
                if word.encode() in printed:
                    gate.open()
        client.wait(DEADLINE_S)
        return printed


def _record(
    wiretape: Wiretape,
    cassette: Path,
    command: Sequence[str | Path],
    *,
    alpn: tuple[str, ...] = HTTP_2_FIRST,
    stdin: bytes = b"",
) -> tuple[bytes, Received]:
    streaming = Streaming()
    with Upstream(streaming.play, alpn=alpn) as upstream:
        arguments = ["run", f"--cassette={cassette}", *upstream.options(), "--", *clean_command(command)]
        with wiretape.popen(*arguments) as client:
            assert client.stdin is not None
            client.stdin.write(stdin)
            client.stdin.close()
            printed = streaming.watch(client)
    assert client.returncode == 0, printed.decode(errors="replace")
    text = cassette.read_bytes()
    (one,) = interactions(text)
    (received,) = upstream.received
    assert (one.method, one.url, one.code) == ("POST", URL, 200)
    assert json.loads(one.request_body) == json.loads(received.body)
    assert one.response_body == b"".join(EVENTS)
    assert (received.header("authorization"), KEY.encode() in text) == (f"Bearer {KEY}", False)
    return printed, received


Record = Callable[..., tuple[bytes, Received]]


@pytest.fixture
def record(shared_wiretape: Wiretape, new_name: Callable[[], str]) -> Record:
    """Run a client under `wiretape run`; check its cassette; return what it printed and its request."""
    return functools.partial(_record, shared_wiretape, shared_wiretape.folder / f"{new_name()}.yaml")


@pytest.mark.parametrize("protocol", ["--http1.1", "--http2"])
@pytest.mark.parametrize("coding", [[], ["--compressed"]], ids=["plain", "compressed"])
def test_curl_streams_and_is_recorded(record: Record, curl: str, protocol: str, coding: list[str]) -> None:
    headers = ["-H", "Content-Type: application/json", "-H", f"Authorization: Bearer {KEY}"]
    printed, received = record(
        [curl, "--silent", "--show-error", "--no-buffer", protocol, *coding, *headers, "-d", BODY, URL],
    )
    assert printed == b"".join(EVENTS)
    assert received.version == ("HTTP/2.0" if protocol == "--http2" else "HTTP/1.1")


@pytest.mark.parametrize("client", ["openai", "openai-async", "httpx", "httpx-http2", "httpx-async"])
def test_python_client_streams_and_is_recorded(record: Record, sdk_python: Path, client: str) -> None:
    printed, received = record([sdk_python, "-P", CLIENTS / "sdk.py", client, BASE_URL, KEY, BODY])
    assert all(word in printed.decode() for word in WORDS)
    # Of these clients, only those that were told to speak HTTP/2.
    assert received.version == ("HTTP/2.0" if client in ("httpx-http2", "httpx-async") else "HTTP/1.1")


def test_node_fetch_streams_and_is_recorded(record: Record, node: str) -> None:
    printed, _ = record([node, CLIENTS / "fetch.mjs", URL, KEY, BODY])
    assert printed == b"".join(EVENTS)


@pytest.mark.parametrize("http1", [True, False], ids=["http1", "http2"])
def test_go_client_streams_and_is_recorded(record: Record, go_client: Path, http1: bool) -> None:
    headers = {"Content-Type": ["application/json"], "Authorization": [f"Bearer {KEY}"]}
    request = GoRequest("POST", URL, headers, BODY.encode(), trace=True)
    plan = plan_text([GoGroup("go", [request], proxy="env", http1=http1)])
    printed, received = record([go_client], stdin=plan)
    assert received.version == ("HTTP/1.1" if http1 else "HTTP/2.0")
    assert all(word in printed.decode() for word in WORDS)
