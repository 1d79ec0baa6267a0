"""Opens up a replaying session's connections without an upstream: the last word, behind mitmproxy's own addons."""

from __future__ import annotations

from mitmproxy import http, tls

from addons import flows
from addons.flows import Replay
from addons.player import PlayerOf
from addons.refusals import refuse_host


class Seal:
    """The addon that answers for upstreams which are not to be asked."""

    def __init__(self, player_of: PlayerOf) -> None:
        self._player_of = player_of

    def http_connect(self, flow: http.HTTPFlow) -> None:
        """Answer a CONNECT at once, for better or worse; only what may pass a sealed session is connected."""
        player = self._player_of(flow.client_conn)
        if player is None or not player.sealed:
            return
        host, port = flow.request.host, flow.request.port
        # Behind a bare address there may be a listed host: the name in the TLS hello will tell.
        if player.lists(host, port) or flows.is_address(host):
            if flow.response is None:
                flow.response = http.Response.make(200, b"", {})
                flow.response.reason = "Connection established"
                flow.response.headers.clear()
        elif player.refuses_others:
            refuse_host(flow, host, port)

    def http_connect_error(self, flow: http.HTTPFlow) -> None:
        """Keep our words for a CONNECT that we refused; others put theirs in between."""
        if flows.replay_of(flow) is Replay.REFUSED:
            refuse_host(flow, flow.request.host, flow.request.port)

    def tls_clienthello(self, data: tls.ClientHelloData) -> None:
        """Shake hands with the client without asking the upstream first; a hit must not depend on it."""
        if self._player_of(data.context.client) is not None:
            data.establish_server_tls_first = False
