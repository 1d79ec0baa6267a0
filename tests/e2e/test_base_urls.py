"""Clients that know no proxy are given a base URL: a listener of the session that stands for one upstream."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.golike import GoLikeClient
from tests.support.inprocess import InProcess, shared_daemon
from tests.support.rawclient import Http1, Http2, dial, tunnel
from tests.support.recorded import interactions
from tests.support.scripts import Gate, Received, Reply, whole
from tests.support.upstream import HTTP_1_ONLY, HTTP_2_FIRST, Upstream
from tests.support.waiting import until
from tests.support.wiretape import Session, clean_command

HOST = "api.openai.com"
URL = f"https://{HOST}/v1/chat/completions"
JSON = ("Content-Type", "application/json")
BOTH_PROTOCOLS = pytest.mark.parametrize("alpn", [HTTP_1_ONLY, HTTP_2_FIRST], ids=["http1", "http2"])
_DURATION = re.compile(rb"duration: .*")


@pytest.fixture(scope="module")
def wiretape(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    with shared_daemon(tmp_path_factory, "base-urls") as command:
        yield command


def _base(wiretape: InProcess, session: Session, number: int = 0) -> str:
    base: str = wiretape.session(session)["reverse"][number]["base_url"]
    return base


def _dial(base: str) -> socket.socket:
    parts = urlsplit(base)
    return socket.create_connection((parts.hostname or "", parts.port or 0), 30)


def _ask(base: str, path: str, body: bytes = b"{}") -> tuple[int, bytes]:
    """Ask with urllib, past every proxy."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(f"{base}{path}", body, {"Content-Type": "application/json"})
    try:
        with opener.open(request, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_a_base_url_records_the_same_bytes_as_the_proxy(wiretape: InProcess) -> None:
    with Upstream(whole(200, [JSON, ("X-Extra", "1")], b'{"ok": true}'), alpn=HTTP_1_ONLY) as upstream:
        reverse = wiretape.open(*upstream.options(), f"--reverse=https://{HOST}")
        client = Http1(_dial(_base(wiretape, reverse)))
        name = urlsplit(_base(wiretape, reverse)).netloc
        direct = [client.ask("POST", "/v1/chat?q=1", [JSON], b'{"n": 1}', host=name) for _ in range(2)]
        client.close()
        wiretape.close(reverse)
        proxied = wiretape.open(*upstream.options())
        client = Http1(tunnel(proxied, HOST))
        through = [client.ask("POST", "/v1/chat?q=1", [JSON], b'{"n": 1}') for _ in range(2)]
        client.close()
        wiretape.close(proxied)

    assert [one.body for one in direct] == [one.body for one in through] == [b'{"ok": true}'] * 2
    assert {(one.authority, one.host, one.target) for one in upstream.received} == {
        (HOST, HOST, "/v1/chat?q=1")
    }
    texts = [_DURATION.sub(b"", one.cassette.read_bytes()) for one in (reverse, proxied)]
    assert texts[0] == texts[1]
    assert f"url: https://{HOST}/v1/chat?q=1".encode() in texts[0]


@BOTH_PROTOCOLS
def test_http2_without_tls_is_spoken_with_clients_that_begin_it(
    alpn: tuple[str, ...], wiretape: InProcess
) -> None:
    with Upstream(whole(200, [], b"far"), alpn=alpn) as upstream:
        session = wiretape.open(*upstream.options(), f"--reverse=https://{HOST}")
        sock = _dial(_base(wiretape, session))
        name = urlsplit(_base(wiretape, session)).netloc
        client = Http2(sock)
        streams = [client.begin("POST", f"/v1/{number}", [], b"{}", host=name) for number in range(3)]
        answers = [client.answer(stream) for stream in streams]
        client.close()
        wiretape.close(session)

    assert [answer.body for answer in answers] == [b"far"] * 3
    assert {one.authority for one in upstream.received} == {HOST}
    assert {one.version for one in upstream.received} == {"HTTP/2.0" if "h2" in alpn else "HTTP/1.1"}
    recorded = interactions(session.cassette.read_bytes())
    assert sorted(one.url for one in recorded) == [f"https://{HOST}/v1/{number}" for number in range(3)]


def test_http2_preface_may_come_in_pieces(wiretape: InProcess) -> None:
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    session = wiretape.open(f"--reverse=https://{HOST}")
    for size in (1, 3, 23):
        sock = _dial(_base(wiretape, session))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(preface[:size])
        sock.sendall(preface[size:] + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00")
        assert sock.recv(9)[3] == 4  # SETTINGS
        sock.close()
    wiretape.close(session)


def test_path_of_the_upstream_stands_in_front(wiretape: InProcess) -> None:
    with Upstream(whole(200, [JSON], b"{}"), alpn=HTTP_1_ONLY) as upstream:
        session = wiretape.open(*upstream.options(), "--reverse=https://openrouter.ai/api/v1/")
        assert _ask(_base(wiretape, session), "/chat/completions?a=b") == (200, b"{}")
        wiretape.close(session)

    assert [one.target for one in upstream.received] == ["/api/v1/chat/completions?a=b"]
    (recorded,) = interactions(session.cassette.read_bytes())
    assert recorded.url == "https://openrouter.ai/api/v1/chat/completions?a=b"


def test_upstream_over_plain_http_that_is_no_router_is_recorded(wiretape: InProcess) -> None:
    with Upstream(whole(200, [JSON], b"{}"), alpn=HTTP_1_ONLY) as upstream:
        session = wiretape.open(f"--reverse=http://127.0.0.1:{upstream.port}")
        assert _ask(_base(wiretape, session), "/api/chat") == (200, b"{}")
        wiretape.close(session)

    assert [one.authority for one in upstream.received] == [f"127.0.0.1:{upstream.port}"]
    (recorded,) = interactions(session.cassette.read_bytes())
    assert recorded.url == f"http://127.0.0.1:{upstream.port}/api/chat"


def test_streams_pass_event_by_event(wiretape: InProcess) -> None:
    gate = Gate("the first event at the client")

    def script(received: Received, reply: Reply) -> None:
        reply.head(200, [("Content-Type", "text/event-stream")])
        reply.data(b"data: one\n\n")
        gate.wait()
        reply.data(b"data: [DONE]\n\n")
        reply.end()

    with Upstream(script, alpn=HTTP_1_ONLY) as upstream:
        session = wiretape.open(*upstream.options(), f"--reverse=https://{HOST}")
        client = Http1(_dial(_base(wiretape, session)))
        client.send(b"POST /v1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}")
        client.until(b"data: one\n\n")
        gate.open()
        client.until(b"data: [DONE]\n\n")
        client.close()
        wiretape.close(session)

    (recorded,) = interactions(session.cassette.read_bytes())
    assert recorded.response_body == b"data: one\n\ndata: [DONE]\n\n"


def test_what_a_proxy_recorded_is_replayed_at_a_base_url(wiretape: InProcess) -> None:
    with Upstream(whole(200, [JSON], b'{"n": 1}'), alpn=HTTP_1_ONLY) as upstream:
        recording = wiretape.open(*upstream.options())
        with GoLikeClient(proxy=recording.proxy, ca_file=recording.bundle) as client:
            client.request("POST", URL, [JSON], b'{"q": 1}')
        wiretape.close(recording)
    replaying = wiretape.open(
        "--mode=replay-only", f"--reverse=https://{HOST}/v1", cassette=recording.cassette
    )
    base = _base(wiretape, replaying)
    assert _ask(base, "/chat/completions", b'{"q": 1}') == (200, b'{"n": 1}')
    status, body = _ask(base, "/chat/completions", b'{"q": 2}')
    assert status == 501
    assert URL.encode() in body
    summary = wiretape.close(replaying)
    assert (summary["hits"], summary["misses"]) == (1, 1)


def test_base_url_stays_when_the_mode_changes(wiretape: InProcess) -> None:
    with Upstream(whole(200, [JSON], b'{"n": 1}'), alpn=HTTP_1_ONLY) as upstream:
        session = wiretape.open(*upstream.options(), f"--reverse=https://{HOST}")
        before = wiretape.session(session)["reverse"]
        assert _ask(before[0]["base_url"], "/v1/chat") == (200, b'{"n": 1}')
        wiretape.run("mode", session.name, "replay-only")
    assert wiretape.session(session)["reverse"] == before
    assert _ask(before[0]["base_url"], "/v1/chat") == (200, b'{"n": 1}')
    assert wiretape.close(session)["hits"] == 1


def test_clients_that_know_the_proxy_may_ask_it_for_the_base_url(wiretape: InProcess) -> None:
    with Upstream(whole(200, [JSON], b"{}"), alpn=HTTP_1_ONLY) as upstream:
        session = wiretape.open(*upstream.options(), f"--reverse=https://{HOST}/v1")
        base = _base(wiretape, session)
        client = Http1(dial(session))
        for name in (base, base.replace("127.0.0.1", "localhost")):
            answer = client.ask("POST", f"{name}/chat", [JSON], b"{}", host=urlsplit(name).netloc)
            assert answer.status == 200
        client.close()
        wiretape.close(session)

    assert {(one.authority, one.target) for one in upstream.received} == {(HOST, "/v1/chat")}
    assert len(interactions(session.cassette.read_bytes())) == 2


@pytest.mark.parametrize(
    ("method", "target", "host", "status"),
    [
        ("CONNECT", "api.openai.com:443", "api.openai.com:443", 405),
        ("GET", "/v1", "evil.example:80", 421),
        ("GET", "http://www.example.com/", "www.example.com", 421),
    ],
)
def test_a_base_url_is_no_proxy(
    method: str, target: str, host: str, status: int, wiretape: InProcess
) -> None:
    with Upstream(whole(200, [], b"")) as upstream:
        session = wiretape.open(*upstream.options(), f"--reverse=https://{HOST}")
        client = Http1(_dial(_base(wiretape, session)))
        answer = client.ask(method, target, host=host)
        client.close()
        wiretape.close(session)

    assert (answer.status, answer.header("wiretape-error")) == (status, "request_refused")
    assert upstream.connections == 0


def test_listeners_come_back_on_their_ports_when_the_worker_dies(wiretape: InProcess) -> None:
    with Upstream(whole(200, [JSON], b"{}"), alpn=HTTP_1_ONLY) as upstream:
        session = wiretape.open(
            *upstream.options(), f"--reverse=https://{HOST}", "--reverse=https://api.anthropic.com"
        )
        before = wiretape.session(session)["reverse"]
        assert _ask(before[1]["base_url"], "/v1/messages") == (200, b"{}")
        worker = wiretape.status()["daemon"]["worker_pid"]
        os.kill(worker, signal.SIGKILL)
        until("another worker", lambda: wiretape.status()["daemon"]["worker_pid"] != worker)
        until("the listener", lambda: _is_open(before[0]["base_url"]))
        assert wiretape.session(session)["reverse"] == before
        assert _ask(before[0]["base_url"], "/v1/chat") == (200, b"{}")
        wiretape.close(session)

    urls = [one.url for one in interactions(session.cassette.read_bytes())]
    assert urls == ["https://api.anthropic.com/v1/messages", f"https://{HOST}/v1/chat"]


def _is_open(base: str) -> bool:
    try:
        _dial(base).close()
    except OSError:
        return False
    return True


def test_port_of_a_base_url_can_be_chosen_and_a_busy_one_is_named(wiretape: InProcess) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = wiretape.run("start", "busy", f"--reverse={port}=https://{HOST}", check=False)
    assert refused.returncode == 3
    assert f"port {port}" in refused.stderr.decode()
    assert "--reverse" in refused.stderr.decode()
    session = wiretape.open(f"--reverse={port}=https://{HOST}")
    assert _base(wiretape, session) == f"http://127.0.0.1:{port}"
    wiretape.close(session)
    assert not _is_open(f"http://127.0.0.1:{port}")


def test_a_login_and_a_base_url_exclude_each_other(wiretape: InProcess) -> None:
    refused = wiretape.run(
        "start", "both", f"--reverse=https://{HOST}", env={"WIRETAPE_PROXY_AUTH": "me:word"}, check=False
    )
    assert refused.returncode == 2
    assert "--reverse" in refused.stderr.decode()


def test_env_gives_the_base_urls_of_sdks(wiretape: InProcess) -> None:
    session = wiretape.open(f"--reverse=https://{HOST}", "--reverse=https://api.anthropic.com")
    openai, anthropic = (_base(wiretape, session, number) for number in (0, 1))
    again = json.loads(wiretape.run("env", session.name, "--shell", "json", env=session.variables).stdout)
    wiretape.close(session)
    for variables in (session.variables, again):
        assert variables["OPENAI_BASE_URL"] == variables["OPENAI_API_BASE"] == f"{openai}/v1"
        assert variables["ANTHROPIC_BASE_URL"] == anthropic
        assert "GROQ_BASE_URL" not in variables


def test_openai_sdk_without_a_proxy_is_recorded(
    sdk_python: Path, wiretape: InProcess, tmp_path: Path
) -> None:
    reply = {
        "id": "1", "object": "chat.completion", "created": 1, "model": "made",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "alpha"}}],
    }  # fmt: skip
    with Upstream(whole(200, [JSON], json.dumps(reply).encode()), alpn=HTTP_1_ONLY) as upstream:
        session = wiretape.open(*upstream.options(), f"--reverse=https://{HOST}")
        variables = {
            "OPENAI_BASE_URL": session.variables["OPENAI_BASE_URL"],
            "OPENAI_API_KEY": "sk-" + "b" * 40,
        }
        done = subprocess.run(
            clean_command([sdk_python, "-c", _SDK_CALL]),
            env={**wiretape.environment, **variables},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        wiretape.close(session)

    assert done.stdout == "alpha\n", done.stderr
    (recorded,) = interactions(session.cassette.read_bytes())
    assert recorded.url == URL


_SDK_CALL = """
import openai
answer = openai.OpenAI(max_retries=0).chat.completions.create(
    model="made", messages=[{"role": "user", "content": "Say a word."}]
)
print(answer.choices[0].message.content)
"""
