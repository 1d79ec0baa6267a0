"""A request as go-vcr sees it: what Go's transport adds on the way to the wire is taken away again.

Facts checked with Go 1.26 and go-vcr 4.0.7, over HTTP/1.1 and HTTP/2.
"""

from __future__ import annotations

from cassette import gohttp
from cassette.credentials import redact_form_body, redact_url
from cassette.exchange import Exchange, HeaderPairs, RequestHead
from cassette.forms import is_form, parse_form
from cassette.headerfilter import HostFilter
from cassette.model import Request

# What Go's transport puts on the wire by itself; the fields of `http.Request` that stand for them are empty.
_ADDED_BY_TRANSPORT = frozenset(
    {
        "Connection",
        "Content-Length",
        "Host",
        "Keep-Alive",
        "Te",
        "Trailer",
        "Transfer-Encoding",
        "Upgrade",
    }
)


def recorded_request(exchange: Exchange, host_filter: HostFilter, *, with_host: bool) -> Request:
    """Return the request; its proto is the one that `http.NewRequest` sets, whatever the wire speaks.

    `with_host` puts the URL's host into `host`. Trailers are left out; no inference API takes any.
    """
    head = exchange.request
    fields = gohttp.group_headers(head.headers)
    content_type = fields.get("Content-Type", [""])[0]
    # The journal redacts what it stores; a credential that slipped past it stops here. No change otherwise.
    url = redact_url(head.url)
    body = redact_form_body(exchange.request_body) if is_form(content_type) else exchange.request_body
    return Request(
        method=head.method,
        url=url,
        body=body,
        headers=gohttp.header_values(host_filter.filter_request(_as_client_set(head, fields))),
        form=parse_form(head.method, url, content_type, body),
        host=gohttp.authority(url) if with_host else "",
        # A length that the client did not know is 0 in Go and goes out chunked, on HTTP/2 without the header.
        content_length=len(body) if "Content-Length" in fields and "Transfer-Encoding" not in fields else 0,
    )


def _as_client_set(head: RequestHead, fields: dict[str, list[str]]) -> HeaderPairs:
    """Return the headers without those that Go's transport adds."""
    kept = {
        name: values
        for name, values in fields.items()
        if name not in _ADDED_BY_TRANSPORT and not name.startswith("Proxy-")
    }
    if kept.get("User-Agent", [""])[0].startswith("Go-http-client/"):
        del kept["User-Agent"]
    # The transport asks for gzip by itself, but neither with HEAD nor with a range (`net/http`, roundTrip).
    if kept.get("Accept-Encoding") == ["gzip"] and head.method != "HEAD" and "Range" not in kept:
        del kept["Accept-Encoding"]
    # HTTP/2 may send the one Cookie header in pieces (RFC 9113, 8.2.3).
    if "Cookie" in kept and not head.http_version.startswith("HTTP/1"):
        kept["Cookie"] = ["; ".join(kept["Cookie"])]
    return gohttp.ungroup_headers(kept)
