"""A response as go-vcr sees it: what Go's transport does to one before a client gets it is done here.

The framing leaves the headers, a coded body becomes text. Facts checked with Go 1.26 and go-vcr 4.0.7, over
HTTP/1.0, HTTP/1.1 and HTTP/2.
"""

from __future__ import annotations

from dataclasses import dataclass

from cassette import gohttp
from cassette.encodings import UndecodableError, content_codings, decode, decode_prefix
from cassette.exchange import Exchange, Outcome, ResponseHead
from cassette.headerfilter import HostFilter
from cassette.model import Response, Values


@dataclass(frozen=True, slots=True)
class _Arrival:
    """A response head as Go's transport read it, before it looks at the content coding."""

    major: int
    fields: dict[str, list[str]]
    chunked: bool
    content_length: int
    trailer: Values
    """What was announced, without values, and what came."""


def recorded_response(exchange: Exchange, host_filter: HostFilter, max_body: int) -> Response:
    """Return the response, its body decoded unless the text would be longer than `max_body` bytes."""
    head = exchange.response
    if head is None:
        return Response(status="", code=0, proto="", proto_major=0, proto_minor=0, content_length=0)
    proto, major, minor = gohttp.parse_version(head.http_version)
    arrival = _arrive(exchange, head, (major, minor), host_filter)
    body, length = exchange.response_body, arrival.content_length
    text = _decoded(exchange, arrival, max_body)
    if text is not None:
        body, length = text, -1
        arrival.fields.pop("Content-Encoding", None)
        arrival.fields.pop("Content-Length", None)
    return Response(
        status=f"{head.code:03d} {head.reason if major < 2 else gohttp.status_text(head.code)}",
        code=head.code,
        body=body,
        headers=gohttp.header_values(host_filter.filter_response(gohttp.ungroup_headers(arrival.fields))),
        proto=proto,
        proto_major=major,
        proto_minor=minor,
        transfer_encoding=("chunked",) if arrival.chunked else (),
        trailer=arrival.trailer,
        content_length=length,
        uncompressed=text is not None,
        duration_ns=max(0, (exchange.response_at_ns or exchange.started_at_ns) - exchange.started_at_ns),
    )


def _arrive(
    exchange: Exchange, head: ResponseHead, version: tuple[int, int], host_filter: HostFilter
) -> _Arrival:
    """Read the head as Go does: take the framing out of the headers."""
    fields = gohttp.group_headers(head.headers)
    came = gohttp.header_values(host_filter.redact_response(exchange.response_trailers))
    if version[0] >= 2:
        announced = gohttp.list_elements(fields.pop("Trailer", ()))
        return _Arrival(
            major=version[0],
            fields=fields,
            chunked=False,
            content_length=_http2_length(exchange, fields),
            trailer=_trailer(announced, came),
        )
    coding = gohttp.list_elements(fields.pop("Transfer-Encoding", ()))
    chunked = version >= (1, 1) and bool(coding) and coding[-1].lower() == "chunked"
    length = _http1_length(exchange, head, fields, chunked=chunked)
    if version >= (1, 1) and "close" in map(str.lower, gohttp.list_elements(fields.get("Connection", ()))):
        del fields["Connection"]
    if fields.get("Pragma", [""])[0] == "no-cache":
        fields.setdefault("Cache-Control", ["no-cache"])  # Go's fixPragmaCacheControl, HTTP/1 only
    announced = gohttp.list_elements(fields.pop("Trailer", ())) if chunked else []
    return _Arrival(
        major=version[0],
        fields=fields,
        chunked=chunked,
        content_length=length,
        trailer=_trailer(announced, came),
    )


def _trailer(announced: list[str], came: Values) -> Values:
    """Return the trailers; one that was announced and did not come has no values."""
    return {gohttp.canonical_name(name): () for name in announced} | dict(came)


def _http1_length(
    exchange: Exchange, head: ResponseHead, fields: dict[str, list[str]], *, chunked: bool
) -> int:
    """Return `ContentLength` of an HTTP/1 response and tidy the header, as Go's readTransfer does."""
    declared = gohttp.parse_content_length(fields.get("Content-Length", ()))
    if declared is not None:
        fields["Content-Length"] = [
            fields["Content-Length"][0].strip(" \t")
        ]  # once, however often it was sent
    if exchange.request.method == "HEAD":
        return -1 if declared is None else declared
    if head.code // 100 == 1 or head.code in {204, 304}:
        return 0
    if chunked:
        fields.pop("Content-Length", None)
        return -1
    return -1 if declared is None else declared


def _http2_length(exchange: Exchange, fields: dict[str, list[str]]) -> int:
    """Return `ContentLength` of an HTTP/2 response.

    Without the header it is 0 when the headers ended the stream. That is not handed on to us, but hardly
    a server opens a body to send nothing: an empty one counts as none.
    """
    values = fields.get("Content-Length", [])
    if values:
        declared = gohttp.parse_content_length(values) if len(values) == 1 else None
        return -1 if declared is None else declared
    ended_by_headers = (
        exchange.outcome is Outcome.COMPLETE and not exchange.response_body and not exchange.response_trailers
    )
    return 0 if ended_by_headers and exchange.request.method != "HEAD" else -1


def _decoded(exchange: Exchange, arrival: _Arrival, max_body: int) -> bytes | None:
    """Return the body's text, or None when the body has no coding that could be undone.

    Go leaves an answer to HEAD and one that says it is empty alone, its Content-Encoding included; of unknown
    length, on HTTP/1, an empty body is decoded to nothing.
    """
    codings = content_codings(arrival.fields.get("Content-Encoding", ()))
    empty = not exchange.response_body and (arrival.content_length == 0 or arrival.major >= 2)
    if not codings or exchange.request.method == "HEAD" or empty:
        return None
    undo = decode if exchange.outcome is Outcome.COMPLETE else decode_prefix
    try:
        return undo(exchange.response_body, codings, max_body)
    except UndecodableError:
        return None
