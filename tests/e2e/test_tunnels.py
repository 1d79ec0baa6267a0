"""Hosts that are not recorded: their connections pass as they are, certificates and all."""

from __future__ import annotations

import hashlib
import socket
import ssl
from collections.abc import Iterator

import pytest

from tests.support.authority import authority
from tests.support.golike import GoLikeClient
from tests.support.inprocess import InProcess, shared_daemon
from tests.support.rawclient import Http1, connect, secure
from tests.support.rawserver import RawServer, read_until
from tests.support.recorded import interactions
from tests.support.scripts import whole
from tests.support.upstream import Upstream
from tests.support.wiretape import Session


@pytest.fixture(scope="module")
def wiretape(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    with shared_daemon(tmp_path_factory, "tunnels") as command:
        yield command


def _certificate_seen(session: Session, host: str) -> bytes | None:
    with secure(connect(session, f"{host}:443"), authority().ca_file, host) as tls:
        client = Http1(tls)
        assert client.ask("GET", "/", host=host).body == b"theirs"
        return tls.getpeercert(binary_form=True)


@pytest.mark.parametrize("host", ["www.example.com", "auth.openai.com", "huggingface.co"])
def test_client_sees_the_real_certificate(host: str, wiretape: InProcess) -> None:
    with Upstream(whole(200, [], b"theirs")) as upstream:
        session = wiretape.open(*upstream.options())
        seen = _certificate_seen(session, host)
        summary = wiretape.close(session)

    real = ssl.PEM_cert_to_DER_cert(authority().certificate(host).cert_chain_pems[0].bytes().decode())
    assert seen == real
    assert (summary["tunnels"], summary["interactions"], summary["passed"]) == (1, 0, 0)


def test_host_of_the_configs_never_decrypt_is_tunnelled_although_it_is_a_router(wiretape: InProcess) -> None:
    config = wiretape.folder / "never.yaml"
    config.write_text("never_decrypt: [api.anthropic.com]\n")
    with Upstream(whole(200, [], b"theirs")) as upstream:
        session = wiretape.open(*upstream.options(), f"--config={config}")
        _certificate_seen(session, "api.anthropic.com")
        summary = wiretape.close(session)

    assert (summary["tunnels"], summary["interactions"]) == (1, 0)


def test_server_that_speaks_first_is_heard(wiretape: InProcess) -> None:
    def serve(sock: socket.socket) -> None:
        sock.sendall(b"220 mail.example.com ready\r\n")
        assert read_until(sock, b"\r\n") == b"EHLO me\r\n"
        sock.sendall(b"250 hello\r\n")

    with RawServer(serve) as server:
        session = wiretape.open(f"--connect-to=mail.example.com:25:127.0.0.1:{server.port}")
        client = Http1(connect(session, "mail.example.com:25"))
        client.until(b"220 mail.example.com ready\r\n")
        client.send(b"EHLO me\r\n")
        assert client.rest() == b"250 hello\r\n"
        client.close()
        assert wiretape.close(session)["tunnels"] == 1


def test_server_at_a_bare_address_that_speaks_first_is_heard(wiretape: InProcess) -> None:
    def serve(sock: socket.socket) -> None:
        sock.sendall(b"SSH-2.0-test\r\n")
        sock.sendall(read_until(sock, b"\r\n"))

    with RawServer(serve) as server:
        session = wiretape.open()
        client = Http1(connect(session, f"127.0.0.1:{server.port}"))
        client.until(b"SSH-2.0-test\r\n")
        client.send(b"SSH-2.0-mine\r\n")
        assert client.rest() == b"SSH-2.0-mine\r\n"
        client.close()
        assert wiretape.close(session)["tunnels"] == 1


def test_tunnel_passes_large_data_unchanged_both_ways(wiretape: InProcess) -> None:
    size = 5 << 20

    def serve(sock: socket.socket) -> None:
        digest, got = hashlib.sha256(), 0
        while got < size:
            data = sock.recv(1 << 16)
            digest.update(data)
            got += len(data)
        sock.sendall(digest.digest() + bytes(size))

    block = hashlib.sha256(b"seed").digest() * (size // 32)
    with RawServer(serve) as server:
        session = wiretape.open(f"--connect-to=files.example.com:443:127.0.0.1:{server.port}")
        client = Http1(connect(session, "files.example.com:443"))
        client.send(block)
        assert client.take(32) == hashlib.sha256(block).digest()
        assert client.take(size) == bytes(size)
        client.close()
        wiretape.close(session)


def test_half_closed_tunnel_still_brings_the_answer(wiretape: InProcess) -> None:
    def serve(sock: socket.socket) -> None:
        asked = b""
        while data := sock.recv(1024):
            asked += data
        sock.sendall(b"got " + asked)

    with RawServer(serve) as server:
        session = wiretape.open(f"--connect-to=odd.example.com:443:127.0.0.1:{server.port}")
        client = Http1(connect(session, "odd.example.com:443"))
        client.send(b"everything")
        client.sock.shutdown(socket.SHUT_WR)
        assert client.rest() == b"got everything"
        client.close()
        wiretape.close(session)


def test_connect_by_address_is_recorded_under_the_name_in_its_hello(wiretape: InProcess) -> None:
    with Upstream(whole(200, [], b"ours")) as upstream:
        session = wiretape.open(*upstream.options())
        tls = secure(connect(session, "192.0.2.1:443"), session.bundle, "api.openai.com")
        client = Http1(tls)
        assert client.ask("GET", "/v1/models").body == b"ours"
        client.close()
        summary = wiretape.close(session)

    (one,) = interactions(session.cassette.read_bytes())
    assert one.url == "https://api.openai.com/v1/models"
    assert summary["tunnels"] == 0


@pytest.mark.parametrize("name", ["www.example.com", None], ids=["other-name", "no-name"])
def test_connect_by_address_to_another_host_is_tunnelled(name: str | None, wiretape: InProcess) -> None:
    with Upstream(whole(200, [], b"theirs")) as upstream:
        session = wiretape.open(*upstream.options())
        tls = secure(connect(session, "192.0.2.1:443"), authority().ca_file, name)
        client = Http1(tls)
        assert client.ask("GET", "/", host="www.example.com").body == b"theirs"
        client.close()
        summary = wiretape.close(session)

    assert (summary["tunnels"], summary["interactions"]) == (1, 0)


def test_paths_of_a_router_that_are_no_api_pass_unrecorded(wiretape: InProcess) -> None:
    with Upstream(whole(200, [], b"page")) as upstream:
        session = wiretape.open(*upstream.options())
        with GoLikeClient(proxy=session.proxy, ca_file=session.bundle) as client:
            assert client.request("GET", "https://openrouter.ai/models").body == b"page"
            assert client.request("GET", "https://openrouter.ai/api/v1/models").body == b"page"
        summary = wiretape.close(session)

    (one,) = interactions(session.cassette.read_bytes())
    assert one.url == "https://openrouter.ai/api/v1/models"
    assert summary["passed"] == 1


def test_mode_passthrough_writes_no_cassette(wiretape: InProcess) -> None:
    with Upstream(whole(200, [], b"passed")) as upstream:
        session = wiretape.open(*upstream.options(), "--mode=passthrough")
        with GoLikeClient(proxy=session.proxy, ca_file=session.bundle) as client:
            assert client.request("POST", "https://api.openai.com/v1", (), b"{}").body == b"passed"
        said = wiretape.run("stop", session.name).stdout.decode()

    assert not session.cassette.exists()
    assert said == f"{session.name}: passed 1 request through\n"
    assert list((wiretape.home / "journals").glob(f"{session.name}-*")) == []
