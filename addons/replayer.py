"""Answers requests from a cassette: the hooks that match a request and lead its flow to the loopback server.

    requestheaders   hold the request: it is matched when its body is there
    request          hit   ─▶ the flow goes to the loopback, which plays the response
                     miss  ─▶ answered here with an explanation, or passed on to be recorded as a new episode
    responseheaders  the flow gets its own request back, and streams

A sealed session has no upstream: for a host that it replays nothing is looked up, connected or sent, whatever goes
wrong here. `Replayer` stands before every addon that looks at flows; `seal.Seal` does what must come last.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass

from mitmproxy import connection, http
from mitmproxy.proxy import server_hooks

from addons import compat, flows
from addons.flows import Replay
from addons.loopback import PLAYBACK_HEADER, Loopback
from addons.playback import Playback, header_fields
from addons.player import Missed, Playable, Player, PlayerOf
from addons.refusals import MISS_STATUS, TOO_LONG_STATUS, refuse, refuse_host, sealed_off
from cassette.model import Response
from cassette.pacing import schedule

_log = logging.getLogger(__name__)
_PLAY = "wiretape.play"
_PLAYER = "wiretape.player"
_NO_WEIGHT = re.compile(r"q\s*=\s*0(\.0*)?")


@dataclass(frozen=True, slots=True)
class _Play:
    """What is kept of a flow while it is at the loopback."""

    asked: http.Request
    token: str
    response: Response


class Replayer:
    """The addon that answers from cassettes."""

    def __init__(self, player_of: PlayerOf, loopback: Loopback, connects_for: PlayerOf | None = None) -> None:
        """`connects_for`: finds the player that decides about connections, if that is not always the same one."""
        self._player_of = player_of
        self._connects_for = connects_for or player_of
        self._loopback = loopback
        self._tokens: dict[str, tuple[str, str]] = {}
        """By flow id: the client connection's id, and the token under which the flow's playback waits."""

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """Have a request buffered that is to be matched, or refused."""
        player = self._player_of(flow.client_conn)
        if player is None:
            return
        host, port = flows.target(flow)
        if _lists(player, flow):
            held = player.sealed or player.plays(host, port, flow.request.path)
        else:
            held = player.sealed and player.refuses_others
        if held:
            flow.metadata[_PLAYER] = player  # the session's may be another one when the body is there
            flows.mark_replay(flow, Replay.HELD)
            compat.hold_at_most(flow, player.max_body)

    def request(self, flow: http.HTTPFlow) -> None:
        """Match a request that was held, and lead it to its answer."""
        player = flow.metadata.pop(_PLAYER, None)
        if flows.replay_of(flow) is not Replay.HELD or player is None:
            return
        try:
            self._answer(flow, player)
        except Exception as exc:  # it must not go on to the upstream
            _log.error("replay.failed reason=%s", type(exc).__name__)
            refuse(flow, 500, "replay_failed", "the request could not be matched; see the log")

    def _answer(self, flow: http.HTTPFlow, player: Player) -> None:
        if not _lists(player, flow):
            refuse_host(flow, *flows.target(flow))
            return
        request = flow.request
        if compat.was_let_go(flow):
            missed = player.too_long(request.method, flows.asked_url(flow))
            refuse(flow, TOO_LONG_STATUS, "request_too_long", missed.message)
            return
        found = player.take(
            request.method,
            flows.asked_url(flow),
            flows.header_pairs(request.headers),
            request.raw_content or b"",
        )
        if isinstance(found, Missed):
            if found.passes and not player.sealed:
                flows.mark_replay(flow, Replay.PASSED)
            else:
                refuse(flow, MISS_STATUS, "replay_miss", found.message)
        elif not 200 <= found.response.code <= 999:
            text = f"the recorded response has the status {found.response.code}, which is no answer"
            refuse(flow, MISS_STATUS, "replay_miss", text)
        else:
            self._play(flow, player, found)

    def _play(self, flow: http.HTTPFlow, player: Player, found: Playable) -> None:
        asked, response = flow.request, found.response
        playback = Playback(
            response,
            schedule(response, found.timing, player.factor),
            compat.last_came_ns(flow.client_conn),
            player.compresses and _is_compressible(response) and accepts_gzip(asked.headers),
        )
        token = self._loopback.register(playback)
        self._tokens[flow.id] = (flow.client_conn.id, token)
        flow.metadata[_PLAY] = _Play(asked, token, response)
        flows.mark_replay(flow, Replay.PLAYED)
        # Another request object: mitmproxy's layer for the client keeps the client's own, and ends the connection
        # as that one says. Nothing of the client's headers and body has to go over another socket.
        flow.request = _to_loopback(asked, self._loopback.address, token)
        # A server of its own: the one that stands here is shared by all requests of the client connection, and
        # leads through the session's upstream proxy.
        flow.server_conn = connection.Server(address=self._loopback.address)

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        """Give a flow that is played its own request back, and let the response stream."""
        play = self._take_back(flow)
        if play is None or flow.response is None:
            return
        flow.response.stream = True
        # mitmproxy reads no trailers from an HTTP/1 upstream and sends none to an HTTP/1 client.
        if play.response.trailer and flow.request.is_http2:
            fields = header_fields(play.response.trailer)
            flow.response.trailers = http.Headers([(name.lower(), value) for name, value in fields])

    def error(self, flow: http.HTTPFlow) -> None:
        """Clean up behind a flow that broke off."""
        self._take_back(flow)

    def client_disconnected(self, client: connection.Client) -> None:
        """Clean up behind flows that came to no end, should mitmproxy's layer have crashed."""
        for flow_id, (client_id, token) in list(self._tokens.items()):
            if client_id == client.id:
                del self._tokens[flow_id]
                self._loopback.forget(token)

    def _take_back(self, flow: http.HTTPFlow) -> _Play | None:
        play = flow.metadata.pop(_PLAY, None)
        if not isinstance(play, _Play):
            return None
        flow.request = play.asked
        self._tokens.pop(flow.id, None)
        self._loopback.forget(play.token)
        return play

    def server_connect(self, data: server_hooks.ServerConnectionHookData) -> None:
        """Refuse every connection that a sealed session must not make; before `connect_to` changes the address."""
        player, address = self._connects_for(data.client), data.server.address
        if player is None or address is None or not player.sealed:
            return
        if address[:2] == self._loopback.address[:2]:
            return
        # A client that looked a listed name up itself said only an address; the name is in its TLS hello.
        listed = player.lists(*address[:2]) or player.lists(data.client.sni or "", address[1])
        if listed or player.refuses_others:
            data.server.error = sealed_off(*address[:2], listed=listed)


def accepts_gzip(headers: http.Headers) -> bool:
    """Tell whether Accept-Encoding asks for gzip, by name or by `*`, and not with a weight of 0 (RFC 9110, 12.5.3)."""
    wanted: dict[str, bool] = {}
    for line in headers.get_all("accept-encoding"):
        for element in line.lower().split(","):
            coding, *parameters = (part.strip() for part in element.split(";"))
            wanted[coding] = not any(map(_NO_WEIGHT.fullmatch, parameters))
    return wanted.get("gzip", wanted.get("x-gzip", wanted.get("*", False)))


def _is_compressible(response: Response) -> bool:
    coded = any(name.lower() == "content-encoding" for name in response.headers)
    return bool(response.body) and not coded


def _lists(player: Player, flow: http.HTTPFlow) -> bool:
    """Tell whether a flow is for a listed host, by any of the names that the client gave it."""
    host, port = flows.target(flow)
    names = {host, flow.request.host, flow.client_conn.sni or host}
    return any(player.lists(name, port) for name in names)


def _to_loopback(asked: http.Request, address: tuple[str, int], token: str) -> http.Request:
    host, port = address[:2]
    return http.Request(
        host=host,
        port=port,
        method=asked.data.method,
        scheme=b"http",
        authority=b"",
        path=b"/",
        http_version=b"HTTP/1.0" if asked.is_http10 else b"HTTP/1.1",
        headers=http.Headers(
            [(b"Host", b"%s:%d" % (host.encode(), port)), (PLAYBACK_HEADER.encode(), token.encode())]
        ),
        content=b"",
        trailers=None,
        timestamp_start=asked.timestamp_start,
        timestamp_end=asked.timestamp_end,
    )
