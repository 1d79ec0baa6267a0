from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

import pytest

from proxy_cli.demo import excerpt, free_cassette, run_demo
from proxy_cli.demo_client import demo_key
from proxy_cli.demo_router import HOST


class Tunnel:
    """A session that only tunnels: CONNECT is answered and every byte passed on to `connect_to`."""

    def __init__(self, cassette_text: str = "version: 2\n") -> None:
        self.cassette_text = cassette_text
        self.opened: list[tuple[Path, str]] = []
        self.closed = 0
        self.listener = socket.create_server(("127.0.0.1", 0))

    def open(self, cassette: Path, connect_to: str, upstream_ca: Path) -> Mapping[str, str]:
        self.opened.append((cassette, connect_to))
        host, port = connect_to.split(":")[2:]
        threading.Thread(target=self._serve, args=((host, int(port)),), daemon=True).start()
        proxy = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        return {"HTTPS_PROXY": proxy, "https_proxy": proxy, "SSL_CERT_FILE": str(upstream_ca)}

    def close(self) -> Path:
        self.closed += 1
        self.listener.close()
        cassette = self.opened[0][0]
        cassette.parent.mkdir(exist_ok=True)
        cassette.write_text(self.cassette_text)
        return cassette

    def _serve(self, upstream: tuple[str, int]) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(upstream)
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += client.recv(1)
            assert head.startswith(f"CONNECT {HOST}:443 ".encode())
            client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            for source, target in ((client, server), (server, client)):
                threading.Thread(target=self._pump, args=(source, target), daemon=True).start()

    @staticmethod
    def _pump(source: socket.socket, target: socket.socket) -> None:
        with closing(target):
            try:
                while data := source.recv(65536):
                    target.sendall(data)
            except OSError:
                return


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(
    session: Tunnel, open_session: Callable[..., Mapping[str, str]] | None = None
) -> tuple[int, list[str]]:
    lines: list[str] = []
    status = run_demo(open_session or session.open, session.close, lines.append)
    return status, lines


def test_the_demo_leads_a_client_through_the_session_and_shows_the_cassette(folder: Path) -> None:
    session = Tunnel()
    status, lines = run(session)
    assert status == 0
    assert session.opened[0][0] == folder / "cassettes" / "demo.yaml"
    assert session.opened[0][1].startswith(f"{HOST}:443:127.0.0.1:")
    text = "\n".join(lines)
    assert "= 5 it is" in text
    assert "   version: 2" in lines
    assert f"wiretape show {Path('cassettes', 'demo.yaml')} 0" in text
    assert session.closed == 1


def test_exceptions_from_proxies_do_not_lead_the_client_past_the_session(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("no_proxy", "*")
    session = Tunnel()
    status, _ = run(session, lambda *args: {**session.open(*args), "NO_PROXY": "*", "no_proxy": "*"})
    assert status == 0


def test_a_client_that_fails_is_a_failure_and_the_session_is_closed() -> None:
    session = Tunnel()
    status, lines = run(session, lambda *args: {**session.open(*args), "SSL_CERT_FILE": os.devnull})
    assert status == 1
    assert any("CERTIFICATE_VERIFY_FAILED" in line for line in lines)
    assert any("The client failed (exit status 1)" in line for line in lines)
    assert session.closed == 1


def test_a_key_in_the_cassette_is_a_failure() -> None:
    status, lines = run(Tunnel(f"Authorization: Bearer {demo_key()}\n"))
    assert status == 1
    assert any("That is a bug in wiretape" in line for line in lines)


def test_a_session_that_cannot_be_opened_is_the_callers_error() -> None:
    def refuse(*args: object) -> Mapping[str, str]:
        raise RuntimeError("no port")

    session = Tunnel()
    with pytest.raises(RuntimeError, match="no port"):
        run(session, refuse)
    session.listener.close()
    assert session.closed == 0


def test_an_earlier_demo_is_not_overwritten(folder: Path) -> None:
    assert free_cassette(folder) == folder / "cassettes" / "demo.yaml"
    (folder / "cassettes").mkdir()
    (folder / "cassettes" / "demo.yaml").touch()
    assert free_cassette(folder) == folder / "cassettes" / "demo-2.yaml"
    (folder / "cassettes" / "demo-2.yaml").touch()
    assert free_cassette(folder) == folder / "cassettes" / "demo-3.yaml"


def test_a_folder_that_takes_no_files_sends_the_cassette_to_the_temporary_ones(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *args: False)
    path = free_cassette(folder)
    assert folder not in path.parents
    assert path.parent.is_dir()
    path.parent.rmdir()


def test_an_excerpt_cuts_long_lines_and_leaves_out_the_middle() -> None:
    assert excerpt("short\n" + "x" * 50, width=10) == ["short", "xxxxxxxxx…"]
    lines = excerpt("\n".join(map(str, range(100))), max_lines=9)
    assert lines == ["0", "1", "2", "3", "4", "5", "  … 92 more lines …", "98", "99"]
