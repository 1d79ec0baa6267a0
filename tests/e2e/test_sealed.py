"""What a session that replays lets out: nothing where it is sealed, new episodes and other hosts where it may."""

from __future__ import annotations

import contextlib
import json
import socket
from typing import Any

import pytest

from addons.player import Missed, Playable
from tests.support import rawclient
from tests.support.replay_fixtures import BOTH, JSON, URL, client, logs
from tests.support.replay_fixtures import alone as alone
from tests.support.replay_fixtures import proxy as proxy
from tests.support.replay_fixtures import running as running
from tests.support.replay_fixtures import upstream as upstream
from tests.support.replaying import LISTED, OTHER, ReplayingProxy
from tests.support.responses import TEXT, response
from tests.support.upstream import HTTP_1_ONLY, HTTP_2_FIRST, Upstream


@logs("replay.failed reason=RuntimeError")
@pytest.mark.usefixtures("alone")
def test_a_player_that_fails_leads_nothing_to_the_upstream(proxy: ReplayingProxy) -> None:
    proxy.play(RuntimeError("secret of the traffic"))
    with client(proxy, HTTP_1_ONLY) as go:
        answer = go.request("POST", URL, body=b"{}")
    assert (answer.status, answer.header("wiretape-error")) == (500, "replay_failed")


@pytest.mark.usefixtures("alone")
def test_a_recording_without_an_answer_is_a_miss(proxy: ReplayingProxy) -> None:
    proxy.play(Playable(response(code=0, status="")))
    with client(proxy, HTTP_1_ONLY) as go:
        answer = go.request("POST", URL, body=b"{}")
    assert (answer.status, answer.header("wiretape-error")) == (501, "replay_miss")


@pytest.mark.usefixtures("alone")
def test_a_sealed_session_looks_no_name_up(proxy: ReplayingProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    real, asked = socket.getaddrinfo, set[Any]()

    def spy(host: Any, *rest: Any, **more: Any) -> Any:
        asked.add(host)
        return real(host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", spy)
    proxy.play(Playable(response(b"{}", JSON)), Missed("nothing"))
    with client(proxy, HTTP_2_FIRST) as go:
        go.request("POST", URL, body=b"{}")
        go.request("POST", URL, body=b"{}")
    with pytest.raises(ConnectionRefusedError):
        rawclient.connect(proxy.as_session, f"{OTHER}:443")
    assert asked <= {"127.0.0.1"}


@pytest.mark.usefixtures("alone")
def test_a_sealed_session_refuses_other_hosts_in_our_words(proxy: ReplayingProxy) -> None:
    player = proxy.play()
    with pytest.raises(ConnectionRefusedError) as refused:
        rawclient.connect(proxy.as_session, f"{OTHER}:443")
    assert str(refused.value).startswith("HTTP/1.1 403 ")
    assert "host_not_replayed" in str(refused.value)
    http = rawclient.Http1(rawclient.dial(proxy.as_session))
    answer = http.ask("POST", f"http://{OTHER}/v1/x", body=b"{}", host=OTHER)
    http.close()
    assert (answer.status, answer.header("wiretape-error")) == (403, "host_not_replayed")
    assert f"{OTHER}:80 is not replayed" in json.loads(answer.body)["error"]["message"]
    assert player.taken == []


@pytest.mark.usefixtures("alone")
def test_a_listed_host_in_the_clear_is_replayed(proxy: ReplayingProxy) -> None:
    player = proxy.play(Playable(response(b"{}", JSON)))
    http = rawclient.Http1(rawclient.dial(proxy.as_session))
    assert http.ask("GET", f"http://{LISTED}/v1/x").body == b"{}"
    http.close()
    assert player.taken[0].url == f"http://{LISTED}/v1/x"


@pytest.mark.usefixtures("alone")
def test_a_client_that_looked_the_name_up_itself_is_replayed(
    proxy: ReplayingProxy, upstream: Upstream
) -> None:
    session = proxy.as_session
    player = proxy.play(Playable(response(b"{}", JSON)))
    # The session lists the host on every port, so the address is that of the upstream which must stay alone.
    sock = rawclient.connect(session, f"127.0.0.1:{upstream.port}")
    http = rawclient.Http1(rawclient.secure(sock, session.bundle, LISTED))
    assert http.ask("GET", "/v1/x", host=f"{LISTED}:{upstream.port}").body == b"{}"
    http.close()
    assert player.taken[0].url == f"https://{LISTED}:{upstream.port}/v1/x"


@pytest.mark.parametrize("refuses", [True, False])
@pytest.mark.usefixtures("alone")
def test_a_sealed_tunnel_carries_nothing_that_is_not_http(
    proxy: ReplayingProxy, upstream: Upstream, refuses: bool
) -> None:
    session = proxy.as_session
    proxy.play().refuses_others = refuses
    for target in (f"{LISTED}:443", f"127.0.0.1:{upstream.port}"):
        sock = rawclient.secure(rawclient.connect(session, target), session.bundle, LISTED, alpn=())
        sock.sendall(b"\x00\x01 not http at all\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            assert b"from the upstream" not in sock.recv(65536)
        sock.close()


def test_other_hosts_are_tunnelled_untouched_if_the_session_says_so(
    proxy: ReplayingProxy, upstream: Upstream
) -> None:
    before = upstream.connections
    player = proxy.play(Missed("nothing"))
    player.refuses_others = False
    session = proxy.as_session
    sock = rawclient.secure(rawclient.connect(session, f"{OTHER}:443"), upstream.ca_file, OTHER)
    http = rawclient.Http1(sock)
    assert http.ask("GET", "/", host=OTHER).body == b"from the upstream"
    http.close()
    assert upstream.connections == before + 1
    with client(proxy, HTTP_1_ONLY) as go:
        assert go.request("POST", URL, body=b"{}").status == 501
    assert upstream.connections == before + 1


@BOTH
def test_a_new_episode_goes_to_the_upstream_with_its_body(
    proxy: ReplayingProxy, upstream: Upstream, alpn: tuple[str, ...]
) -> None:
    proxy.play(
        Playable(response(b"recorded", TEXT)),
        Missed("nothing", passes=True),
        Playable(response(b"too", TEXT)),
    ).sealed = False
    before = upstream.connections
    with client(proxy, alpn) as go:
        assert go.request("POST", URL, body=b"one").body == b"recorded"
        assert upstream.connections == before
        assert go.request("POST", URL, body=b"two").body == b"from the upstream"
        assert go.request("POST", URL, body=b"three").body == b"too"
        # A path that is none of the session's passes, streamed, without the player being asked.
        assert go.request("POST", f"https://{LISTED}/other", body=b"four").body == b"from the upstream"
    assert [received.body for received in upstream.received[-2:]] == [b"two", b"four"]


@pytest.mark.usefixtures("alone")
def test_a_sealed_session_passes_nothing_even_if_the_player_says_so(proxy: ReplayingProxy) -> None:
    proxy.play(Missed("nothing", passes=True))
    with client(proxy, HTTP_1_ONLY) as go:
        assert go.request("POST", URL, body=b"{}").status == 501


def test_nobody_else_can_fetch_a_playback(proxy: ReplayingProxy) -> None:
    with socket.create_connection(proxy.loopback.address, 10) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert sock.recv(65536).startswith(b"HTTP/1.1 403 ")
