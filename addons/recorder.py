"""mitmproxy's hooks into journal records; no policy, no parsing, no waiting.

Each chunk is stored before it is forwarded: of a body with a Content-Length the client sees the end with the last
chunk, before the `response` hook. No hook raises: mitmproxy would drop the chunk (layers/http/__init__.py, state_
stream_response_body) or leave the client waiting. The callables for chunks are plain functions that always return
what they were given.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any

from mitmproxy import ctx, http, tcp
from mitmproxy.connection import Client
from mitmproxy.proxy import server_hooks

from addons import compat, flows
from addons.live import InFlight, LiveExchange, LiveSession, Phase
from addons.measures import Measures
from addons.sessions import Sessions
from cassette import credentials, journal
from cassette.exchange import Outcome, RequestHead, ResponseHead
from cassette.journal import Kind

_log = logging.getLogger(__name__)
_EXCHANGE = "wiretape.exchange"
_PHASE = "wiretape.phase"
_FORM = "application/x-www-form-urlencoded"
_MAX_FORM = 256 << 10
"""A longer urlencoded body is not recorded: it is redacted whole, on the event loop. Chosen, not measured."""

Hook = Callable[["Recorder", Any], None]


def _guarded(hook: Hook) -> Hook:
    """Let no exception out of a hook: recording may fail, traffic may not."""

    @functools.wraps(hook)
    def guarded(self: Recorder, subject: Any) -> None:
        try:
            hook(self, subject)
        except Exception as exc:  # see above
            self.failed(hook.__name__, subject, exc)

    return guarded


class Recorder:
    """The addon that tees what routers and clients say to each other into the journals of the sessions."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self.measures = Measures()

    def failed(self, where: str, subject: Any, error: Exception) -> None:
        """Count an error of our own; the exchange goes on unrecorded."""
        client = subject.client_conn if isinstance(subject, (http.HTTPFlow, tcp.TCPFlow)) else subject
        session = self._sessions.of(client) if isinstance(client, Client) else None
        if session is None:
            _log.error("record.failed where=%s reason=%s", where, type(error).__name__)
            return
        exchange = subject.metadata.get(_EXCHANGE) if isinstance(subject, http.HTTPFlow) else None
        if isinstance(exchange, LiveExchange):
            exchange.give_up(where, error)
        else:
            session.failed(where, error)

    @_guarded
    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """Begin an exchange, if the request goes to a router."""
        session = self._sessions.of(flow.client_conn)
        if session is not None:
            session.in_flight[flow.id] = InFlight(flow.client_conn.id, session.phase)
            flow.metadata[_PHASE] = session.phase
        if flows.replay_of(flow) is flows.Replay.HELD:
            return  # buffered until the cassette has been asked
        flow.request.stream = True
        if session is not None:
            self._begin(session, session.phase, flow)

    def _begin(self, session: LiveSession, phase: Phase, flow: http.HTTPFlow) -> None:
        request = flow.request
        spec = phase.spec
        host, port = flows.target(flow)
        router = spec.routers.find(host, port)
        segments = session.journal if phase.records else None
        if segments is None or router is None or not spec.routers.records_path(router, request.path):
            session.traffic.passed += 1
            return
        if spec.blocks and (why := session.cannot_record()):
            session.blocked(why)
            session.in_flight.pop(flow.id, None)
            text = f"not passed on, because it cannot be recorded: {why}"
            compat.refuse(flow, compat.own_response(flow, 503, text, "recording_failed"))
            return
        session.traffic.exchanges += 1
        exchange = LiveExchange(session, segments, next(session.numbers))
        exchange.router, exchange.measures = str(router.pattern), self.measures
        if spec.blocks:
            exchange.break_off = functools.partial(_break_off, flow.client_conn)
        flow.metadata[_EXCHANGE] = exchange
        session.in_flight[flow.id] = InFlight(flow.client_conn.id, phase, exchange)
        if request.stream:
            request.stream = _request_tee(exchange)
        headers = spec.headers.for_host(host, port).redact_request(flows.header_pairs(request.headers))
        url = credentials.redact_url(flows.asked_url(flow))
        head = RequestHead(request.method, url, request.http_version, headers)
        exchange.put(Kind.REQUEST_HEAD, journal.encode_request_head(head))
        if request.headers.get("content-type", "").lower().startswith(_FORM):
            exchange.held_form = bytearray()

    def _begin_episode(self, flow: http.HTTPFlow) -> None:
        """Begin an exchange whose request was buffered: the cassette had no answer, the upstream gives one."""
        session, phase = self._sessions.of(flow.client_conn), flow.metadata.get(_PHASE)
        if session is None or not isinstance(phase, Phase):
            return
        self._begin(session, phase, flow)
        exchange = flow.metadata.get(_EXCHANGE)
        if isinstance(exchange, LiveExchange):
            _request_tee(exchange)(flow.request.raw_content or b"")

    @_guarded
    def request(self, flow: http.HTTPFlow) -> None:
        """Note the end of the request."""
        if flows.replay_of(flow) is flows.Replay.PASSED:
            self._begin_episode(flow)
        exchange = flow.metadata.get(_EXCHANGE)
        if isinstance(exchange, LiveExchange):
            if exchange.held_form:
                exchange.put_data(Kind.REQUEST_DATA, credentials.redact_form_body(bytes(exchange.held_form)))
            exchange.held_form = None
            exchange.put(Kind.REQUEST_END, journal.encode_trailers(flows.header_pairs(flow.request.trailers)))
            exchange.request_ended = True
            if exchange.response_ended:
                exchange.ended("complete")
                exchange.session.in_flight.pop(flow.id, None)

    @_guarded
    def responseheaders(self, flow: http.HTTPFlow) -> None:
        """Note the response's head and begin to tee its body."""
        response = flow.response
        assert response is not None
        response.stream = True
        exchange = flow.metadata.get(_EXCHANGE)
        if not isinstance(exchange, LiveExchange):
            return
        session = exchange.session
        exchange.answered()
        if response.status_code == 101:
            session.traffic.websockets += 1
            session.tunnels.add(flow.client_conn.id)
            _log.warning("record.websocket_passed session=%s exchange=%d", session.spec.name, exchange.number)
            exchange.end(Kind.DROPPED, b"websocket")
            return
        headers = session.spec.headers.for_host(*flows.target(flow)).redact_response(
            flows.header_pairs(response.headers)
        )
        head = ResponseHead(response.http_version, response.status_code, response.reason or "", headers)
        exchange.put(Kind.RESPONSE_HEAD, journal.encode_response_head(head))
        length = _announced_length(flow)
        if length == 0:
            exchange.confirm()
        response.stream = _response_tee(exchange, length)

    @_guarded
    def response(self, flow: http.HTTPFlow) -> None:
        """Note the end of the response, which the client is about to see."""
        exchange = flow.metadata.get(_EXCHANGE)
        if isinstance(exchange, LiveExchange):
            assert flow.response is not None
            if _is_unframed(flow.response) and compat.was_reset(flow.server_conn):
                reason = f"after {exchange.response_bytes} bytes of body"
                exchange.end(Kind.FAILED, journal.encode_failure(Outcome.UPSTREAM_RESET, reason))
                exchange.ended(_word(Outcome.UPSTREAM_RESET))
            exchange.put(
                Kind.RESPONSE_END, journal.encode_trailers(flows.header_pairs(flow.response.trailers))
            )
            exchange.confirm()
            exchange.response_ended = True
            if not (exchange.request_ended or exchange.closed):
                return  # an upstream may answer before it has the whole request
            exchange.ended("complete")
        self._landed(flow)

    @_guarded
    def error(self, flow: http.HTTPFlow) -> None:
        """Note that an exchange broke off, and on which side."""
        self._landed(flow)
        exchange = flow.metadata.get(_EXCHANGE)
        if not isinstance(exchange, LiveExchange) or exchange.closed:
            return
        outcome, reason = _outcome(flow, exchange)
        if outcome is None:
            exchange.session.traffic.refused += 1
            exchange.ended("refused")
            _log.warning(
                "exchange.refused session=%s exchange=%d host=%s reason=%s",
                exchange.session.spec.name, exchange.number, flow.request.host, compat.without_quotes(reason),
            )  # fmt: skip
            exchange.end(Kind.DROPPED, b"answered by the proxy")
        else:
            exchange.end(Kind.FAILED, journal.encode_failure(outcome, reason))
            exchange.ended(_word(outcome))

    @_guarded
    def websocket_message(self, flow: http.HTTPFlow) -> None:
        """Forget messages that have passed; mitmproxy would keep them all."""
        if flow.websocket is not None:
            flow.websocket.messages.clear()

    @_guarded
    def tcp_message(self, flow: tcp.TCPFlow) -> None:
        """Forget bytes that have passed; mitmproxy would keep them all."""
        flow.messages.clear()

    @_guarded
    def client_disconnected(self, client: Client) -> None:
        """Close what neither `response` nor `error` closed: mitmproxy's layer may have crashed."""
        session = self._sessions.of(client)
        if session is None:
            return
        for flow_id, flight in list(session.in_flight.items()):
            if flight.client_id == client.id:
                del session.in_flight[flow_id]
                if flight.exchange is not None and not flight.exchange.closed:
                    outcome = Outcome.CUT if flight.exchange.being_cut else Outcome.CLIENT_LEFT
                    reason = f"after {flight.exchange.response_bytes} bytes of body"
                    if compat.has_crashed(client):
                        outcome, reason = Outcome.CRASHED, "mitmproxy failed; see the log"
                        session.failed("mitmproxy", RuntimeError())
                    flight.exchange.end(Kind.FAILED, journal.encode_failure(outcome, reason))
                    flight.exchange.ended(_word(outcome))

    @_guarded
    def server_connected(self, data: server_hooks.ServerConnectionHookData) -> None:
        """Watch how the connection will end: of a body without a length that is all that tells a part from it."""
        compat.watch_end(ctx.master.addons.get("proxyserver"), data.client, data.server)

    def _landed(self, flow: http.HTTPFlow) -> None:
        session = self._sessions.of(flow.client_conn)
        if session is not None:
            session.in_flight.pop(flow.id, None)


def _outcome(flow: http.HTTPFlow, exchange: LiveExchange) -> tuple[Outcome | None, str]:
    """Tell by side and state, not by mitmproxy's text, how an exchange broke off; None when it never began.

    The text says "client" for a reset by the upstream too.
    """
    blame = flow.metadata.get(compat.BLAME, "client")
    if exchange.being_cut:
        return Outcome.CUT, "stop did not wait longer"
    if blame == "client":
        return Outcome.CLIENT_LEFT, f"after {exchange.response_bytes} bytes of body"
    message = flow.error.msg if flow.error is not None else ""
    if blame == "proxy" or not compat.was_reached(flow):
        return None, message
    if flow.response is None:
        return Outcome.UPSTREAM_RESET, "before its response began"
    broke = _is_unframed(flow.response) and compat.was_reset(flow.server_conn)
    if broke or flow.response.http_version == "HTTP/2.0":
        return Outcome.UPSTREAM_RESET, f"after {exchange.response_bytes} bytes of body"
    return Outcome.TRUNCATED, f"after {exchange.response_bytes} bytes of body"


def _word(outcome: Outcome) -> str:
    return outcome.name.lower()


def _break_off(client: Client) -> None:
    compat.break_off(ctx.master.addons.get("proxyserver"), client)


def _is_unframed(response: http.Response) -> bool:
    """Tell whether a body ends with its connection."""
    headers = response.headers
    return (
        response.http_version.startswith("HTTP/1")
        and "content-length" not in headers
        and "transfer-encoding" not in headers
    )


def _request_tee(exchange: LiveExchange) -> Callable[[bytes], bytes]:
    def tee(data: bytes) -> bytes:
        try:
            if not data:
                return data
            form = exchange.held_form
            if form is not None and not form and data.lstrip()[:1] in (b"{", b"["):
                form = exchange.held_form = None  # JSON whose sender named no type, as `curl -d` does
            if form is None:
                exchange.put_data(Kind.REQUEST_DATA, data)
            elif len(form) + len(data) <= _MAX_FORM:
                form += data
            else:
                exchange.held_form = None
                exchange.session.traffic.too_long += 1
                exchange.end(Kind.DROPPED, b"urlencoded body too long to redact")
        except Exception as exc:  # the chunk must go on
            exchange.give_up("request chunk", exc)
        return data

    return tee


def _announced_length(flow: http.HTTPFlow) -> int | None:
    """Return after how many bytes a client knows that the body is whole; None when its end says so."""
    assert flow.response is not None
    headers = flow.response.headers
    if flow.request.method == "HEAD" or flow.response.status_code in (204, 304):
        return 0
    length = headers.get("content-length", "")
    return int(length) if length.isdecimal() and "transfer-encoding" not in headers else None


def _response_tee(exchange: LiveExchange, length: int | None) -> Callable[[bytes], bytes]:
    def tee(data: bytes) -> bytes:
        try:
            if data:
                exchange.put_data(Kind.RESPONSE_DATA, data)
                if exchange.response_bytes == length:
                    exchange.confirm()
        except Exception as exc:  # the chunk must go on
            exchange.give_up("response chunk", exc)
        return data

    return tee
