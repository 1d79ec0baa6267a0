"""What mitmproxy still gets wrong by itself, one test for each of our patches, which is left out here.

When one of these fails after an update, mitmproxy has mended it: the patch in `addons/compat` may go, with its
test here. What a patch cures is tested in `test_network_*.py`.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable

import h2.events
import pytest

from tests.e2e.test_network_broken import SOON, strict
from tests.e2e.test_network_stalled import LARGE, Sender, answer_while_reading, writing
from tests.support.door import Door
from tests.support.h2peer import EventClient, goaway
from tests.support.rawclient import Http1, connect, dial, tunnel
from tests.support.rawserver import RawServer
from tests.support.scripts import Framing, Gate, Received, Reply
from tests.support.silence import silent_port
from tests.support.upstream import HTTP_1_ONLY, HTTP_2_FIRST, Upstream
from tests.support.waiting import until
from tests.support.worker_alone import WorkerAlone

HOST = "api.openai.com"
MOMENT_S = 1.0
"""How long a test looks at a client that waits for ever."""


def _waits(client: Http1 | EventClient) -> bool:
    """Tell whether nothing comes for a moment, not even the end."""
    client.sock.settimeout(MOMENT_S)
    try:
        client.sock.recv(1)
    except TimeoutError:
        return True
    except OSError:
        pass
    return False


def test_mitmproxy_takes_an_interim_response_for_the_final_one() -> None:
    said = threading.Event()

    def script(received: Received, reply: Reply) -> None:
        reply.raw(b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        said.set()

    with Upstream(script, alpn=HTTP_1_ONLY) as upstream, WorkerAlone(
        upstream.connect_to(), without=["forward_informational"]
    ) as worker:  # fmt: skip
        client = Http1(tunnel(worker.session, HOST))
        client.send(f"GET /v1 HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        assert client.until(b"\r\n\r\n").startswith(b"HTTP/1.1 103 ")
        assert said.wait(10)
        assert _waits(client)
        client.close()


def test_mitmproxy_drops_an_interim_response_over_http2() -> None:
    def script(received: Received, reply: Reply) -> None:
        reply.inform(103)
        reply.head(200)
        reply.end()

    with Upstream(script, alpn=HTTP_2_FIRST) as upstream, WorkerAlone(
        upstream.connect_to(), without=["forward_informational"]
    ) as worker:  # fmt: skip
        client = EventClient(tunnel(worker.session, HOST, alpn=("h2",)))
        stream = client.ask("/v1")
        assert client.of(stream, h2.events.InformationalResponseReceived) == []
        client.close()


def test_mitmproxy_crashes_on_trailers_and_the_client_waits(caplog: pytest.LogCaptureFixture) -> None:
    def script(received: Received, reply: Reply) -> None:
        reply.head(200)
        reply.data(b"body")
        reply.end([("x-checksum", "abc")])

    with Upstream(script, alpn=HTTP_1_ONLY) as upstream, WorkerAlone(
        upstream.connect_to(), without=["read_trailers", "end_after_crash"]
    ) as worker:  # fmt: skip
        client = Http1(tunnel(worker.session, HOST))
        client.send(f"GET /v1 HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        client.until(b"body\r\n")
        until("the crash", lambda: "mitmproxy has crashed!" in caplog.text)
        assert _waits(client)
        client.close()
    assert "NotImplementedError" in caplog.text


def test_mitmproxy_ends_what_is_under_way_at_goaway() -> None:
    gate = Gate("the reset at the client")

    def script(received: Received, reply: Reply) -> None:
        reply.head(200)
        reply.data(b"first")
        reply.raw(goaway(1))
        gate.wait()

    with Upstream(script, alpn=HTTP_2_FIRST) as upstream, WorkerAlone(
        upstream.connect_to(), without=["survive_goaway"]
    ) as worker:  # fmt: skip
        client = EventClient(tunnel(worker.session, HOST, alpn=("h2",)))
        stream = client.begin("/v1")
        client.until(lambda: client.was_reset(stream))
        gate.open()
        client.close()


def test_mitmproxy_buffers_without_end_for_an_http2_stream_that_is_not_read() -> None:
    sender = Sender()
    with Upstream(sender, alpn=HTTP_2_FIRST) as upstream, WorkerAlone(
        upstream.connect_to(), without=["bound_http2"]
    ) as worker:  # fmt: skip
        client = EventClient(tunnel(worker.session, HOST, alpn=("h2",)))
        before = worker.resident_bytes
        large = client.begin("/large")
        client.stalled.add(large)
        client.until(lambda: client.received.get(large))
        until("the whole body at the proxy", lambda: sender.sent == LARGE)
        until("all of it in memory", lambda: worker.resident_bytes - before > LARGE * 3 // 4)
        client.close()


def test_mitmproxy_locks_up_with_an_upstream_that_answers_while_it_is_written_to() -> None:
    without = ["hold_reading", "bound_http2", "limit_connecting"]  # the latter two build upon the first
    with RawServer(answer_while_reading) as server, WorkerAlone(
        hosts=[f"127.0.0.1:{server.port}"], without=without
    ) as worker:  # fmt: skip
        client = Http1(dial(worker.session))
        client.sock.settimeout(3)
        with writing(client, f"127.0.0.1:{server.port}"), pytest.raises(TimeoutError):
            client.answer()


def _unframed(end: Callable[[Reply], None]) -> Callable[[Received, Reply], None]:
    def script(received: Received, reply: Reply) -> None:
        reply.head(200, framing=Framing.EOF)
        reply.data(b"body")
        end(reply)

    return script


def test_mitmproxy_takes_a_reset_for_the_end_of_a_body() -> None:
    with Upstream(_unframed(Reply.reset)) as upstream:
        host = f"127.0.0.1:{upstream.port}"
        with WorkerAlone(hosts=[host], without=["pass_ends_on", "read_trailers"]) as worker:
            client = Http1(dial(worker.session))
            client.send(f"GET http://{host}/v1 HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            assert client.rest().endswith(b"body")
            client.close()


def test_mitmproxy_ends_tls_without_close_notify() -> None:
    with Upstream(_unframed(Reply.end), alpn=HTTP_1_ONLY) as upstream, WorkerAlone(
        upstream.connect_to(), without=["pass_ends_on"]
    ) as worker:  # fmt: skip
        client = Http1(strict(worker.session))
        client.send(f"GET /v1 HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        client.until(b"body")
        with pytest.raises(ssl.SSLEOFError):
            client.rest()
        client.close()


def test_mitmproxy_waits_for_ever_for_an_upstream_that_is_not_there() -> None:
    with silent_port() as port, WorkerAlone(
        f":443:127.0.0.1:{port}", values=SOON, without=["limit_connecting"]
    ) as worker:  # fmt: skip
        sock = connect(worker.session, f"{HOST}:443")
        context = ssl.create_default_context(cafile=str(worker.session.bundle))
        sock.settimeout(3 * SOON["addons.compat.connecting:CONNECT_SECONDS"])
        with pytest.raises(TimeoutError):
            context.wrap_socket(sock, server_hostname=HOST)


def test_mitmproxy_keeps_what_is_uploaded_while_the_upstream_is_being_connected_to() -> None:
    with silent_port() as port, WorkerAlone(
        hosts=[f"127.0.0.1:{port}"], without=["hold_reading", "bound_http2", "limit_connecting"]
    ) as worker:  # fmt: skip
        before = worker.resident_bytes
        client = Http1(dial(worker.session))
        where = f"127.0.0.1:{port}"
        client.send(
            f"POST http://{where}/v1 HTTP/1.1\r\nHost: {where}\r\nContent-Length: {LARGE}\r\n\r\n".encode()
        )
        client.send(bytes(LARGE))
        until("all of it in memory", lambda: worker.resident_bytes - before > LARGE * 3 // 4)
        client.close()


def test_mitmproxy_closes_both_directions_of_a_tunnel_with_the_first() -> None:
    def serve(sock: socket.socket) -> None:
        while sock.recv(1024):
            pass
        sock.sendall(b"answer")

    with RawServer(serve) as server, WorkerAlone(
        f"odd.example.com:443:127.0.0.1:{server.port}", without=["close_by_halves"]
    ) as worker:  # fmt: skip
        client = Http1(connect(worker.session, "odd.example.com:443"))
        client.send(b"everything")
        client.sock.shutdown(socket.SHUT_WR)
        assert client.rest() == b""
        client.close()


def test_mitmproxy_cuts_silent_connections_after_ten_minutes() -> None:
    with WorkerAlone(without=["lift_idle_timeout_of_11", "set_options"]) as worker:
        client = Http1(dial(worker.session))
        until("the connection", lambda: worker.look()["connections"] == 1)
        assert worker.look()["timeouts"] == [600]
        assert worker.look()["ping_seconds"] == 58
        client.close()


def test_mitmproxy_opens_five_upstream_connections_for_a_client_and_no_more() -> None:
    everyone = Gate("the look at the upstream's connections")

    def script(received: Received, reply: Reply) -> None:
        everyone.wait()
        reply.head(200, [("Content-Length", "0")], end=True)

    with Upstream(script, alpn=HTTP_1_ONLY) as upstream, Door(upstream.port) as door, WorkerAlone(
        door.connect_to(), without=["lift_connection_cap"]
    ) as worker:  # fmt: skip
        client = EventClient(tunnel(worker.session, HOST, alpn=("h2",)))
        client.ask("/refused")
        door.open()
        streams = [client.begin("/v1") for _ in range(8)]
        until("five at the upstream", lambda: len(upstream.received) == 5)
        with pytest.raises(AssertionError):
            until("a sixth", lambda: len(upstream.received) > 5, MOMENT_S)
        everyone.open()
        client.until(lambda: client.has_ended(*streams))
        client.close()


def test_client_that_closes_its_sending_direction_is_taken_to_have_left() -> None:
    """Not cured, as it cannot be told from a client that is gone: see Known limits in the README."""
    gate = Gate("the end of the client's connection")

    def script(received: Received, reply: Reply) -> None:
        gate.wait()
        reply.head(200, [("Content-Length", "0")], end=True)

    with Upstream(script) as upstream:
        host = f"127.0.0.1:{upstream.port}"
        with WorkerAlone(hosts=[host]) as worker:
            client = Http1(dial(worker.session))
            client.send(f"GET http://{host}/v1 HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            until("the request at the upstream", lambda: upstream.received)
            client.sock.shutdown(socket.SHUT_WR)
            assert client.rest() == b""
            client.close()
            gate.open()
