"""`mitmdump -s addons/entry.py`: the recorder in a mitmproxy that somebody else runs."""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import cassette
from tests.support.scripts import whole
from tests.support.upstream import HTTP_1_ONLY, Upstream
from tests.support.waiting import until

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 60.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def mitmdump(folder: Path, upstream: Upstream, *options: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    port = free_port()
    environment = os.environ | {"WIRETAPE_HOME": str(folder / "home"), "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [
            sys.executable, "-c", "from mitmproxy.tools.main import mitmdump; mitmdump()",
            "-s", str(ROOT / "addons" / "entry.py"), "--listen-host", "127.0.0.1", "-p", str(port),
            "--set", f"confdir={folder / 'conf'}", "--set", f"ssl_verify_upstream_trusted_ca={upstream.ca_file}",
            *options,
        ],
        cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        yield process, port
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.communicate(timeout=DEADLINE_S)


def listens(process: subprocess.Popen[str], port: int) -> bool:
    assert process.poll() is None, process.communicate()[0]
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def ask(proxy_port: int, upstream: Upstream, folder: Path) -> bytes:
    context = ssl.create_default_context(cafile=str(folder / "conf" / "mitmproxy-ca-cert.pem"))
    connection = http.client.HTTPSConnection("127.0.0.1", proxy_port, context=context, timeout=DEADLINE_S)
    connection.set_tunnel("localhost", upstream.port)
    key = "sk-" + "a" * 40
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
    connection.request("POST", "/v1/chat/completions", b"{}", headers)
    return connection.getresponse().read()


def test_mitmdump_records_what_a_client_and_a_router_say(tmp_path: Path) -> None:
    answer = whole(200, [("Content-Type", "application/json")], b'{"ok":true}')
    with Upstream(answer, alpn=HTTP_1_ONLY) as upstream:
        options = (
            "--set",
            "wiretape_cassette=chat.yaml",
            "--set",
            f"wiretape_hosts=localhost:{upstream.port}",
        )
        with mitmdump(tmp_path, upstream, *options) as (process, port):
            until("mitmdump to listen", lambda: listens(process, port))
            until("the cassette to be opened", (tmp_path / "chat.yaml").exists)
            assert ask(port, upstream, tmp_path) == b'{"ok":true}'
        (recorded,) = cassette.load(tmp_path / "chat.yaml").interactions
    assert recorded.request.url == f"https://localhost:{upstream.port}/v1/chat/completions"
    assert recorded.response.body == b'{"ok":true}'
    assert set(recorded.request.headers) == {"Content-Type"}
    assert list((tmp_path / "home" / "journals").iterdir()) == []


def test_mitmdump_ends_at_once_when_it_is_not_told_where_to_record(tmp_path: Path) -> None:
    with (
        Upstream(whole(200, [], b""), alpn=HTTP_1_ONLY) as upstream,
        mitmdump(tmp_path, upstream) as (process, _),
    ):
        said, _ = process.communicate(timeout=DEADLINE_S)
    assert "--set wiretape_cassette=" in said
    assert process.returncode != 0


def test_mitmdump_does_not_touch_a_cassette_that_is_there(tmp_path: Path) -> None:
    there = tmp_path / "chat.yaml"
    there.write_bytes(cassette.dumps(cassette.Cassette()))
    options = ("--set", "wiretape_cassette=chat.yaml")
    with (
        Upstream(whole(200, [], b""), alpn=HTTP_1_ONLY) as upstream,
        mitmdump(tmp_path, upstream, *options) as (process, _),
    ):
        said, _ = process.communicate(timeout=DEADLINE_S)
    assert "exists already" in said
    assert process.returncode != 0
    assert there.read_bytes() == cassette.dumps(cassette.Cassette())


def children(pid: int) -> list[int]:
    done = subprocess.run(
        ["pgrep", "-P", str(pid), "-f", "cassette.scribe_process"], capture_output=True, check=False
    )
    return list(map(int, done.stdout.split()))


@pytest.mark.skipif(shutil.which("pgrep") is None, reason="pgrep is not installed")
def test_scribe_of_mitmdump_that_dies_is_succeeded_and_nothing_is_lost(tmp_path: Path) -> None:
    answer = whole(200, [("Content-Type", "application/json")], b'{"ok":true}')
    with Upstream(answer, alpn=HTTP_1_ONLY) as upstream:
        options = (
            "--set",
            "wiretape_cassette=chat.yaml",
            "--set",
            f"wiretape_hosts=localhost:{upstream.port}",
        )
        tape = tmp_path / "chat.yaml"
        with mitmdump(tmp_path, upstream, *options) as (process, port):
            until("mitmdump to listen", lambda: listens(process, port))
            (scribe,) = until("a scribe", lambda: children(process.pid))
            until("the journal to begin", lambda: list((tmp_path / "home" / "journals").glob("*/*.seg")))
            ask(port, upstream, tmp_path)
            os.kill(scribe, signal.SIGKILL)
            ask(port, upstream, tmp_path)
            until("another scribe", lambda: children(process.pid) not in ([], [scribe]))
            ask(port, upstream, tmp_path)
            until("all to be written", lambda: len(cassette.load(tape).interactions) == 3)
    assert len(cassette.load(tape).interactions) == 3
    assert list((tmp_path / "home" / "journals").iterdir()) == []
