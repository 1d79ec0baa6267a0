"""Exchanges for tests of what is made of them: a GET that was answered, but for what a test says."""

from __future__ import annotations

from cassette.exchange import Exchange, HeaderPairs, Outcome, RequestHead, ResponseHead


def an_exchange(
    *,
    method: str = "GET",
    url: str = "https://api.example.com/v1/models",
    request_version: str = "HTTP/1.1",
    request_headers: HeaderPairs = (),
    request_body: bytes = b"",
    request_trailers: HeaderPairs = (),
    version: str = "HTTP/1.1",
    code: int = 200,
    reason: str = "OK",
    headers: HeaderPairs = (),
    body: bytes = b"",
    trailers: HeaderPairs = (),
    outcome: Outcome = Outcome.COMPLETE,
    why: str = "",
    answered: bool = True,
    started_at_ns: int = 1_000,
    response_at_ns: int = 5_000,
    request_ended: bool = True,
) -> Exchange:
    """Build an exchange; `headers`, `body` and `trailers` are the response's."""
    return Exchange(
        request=RequestHead(method, url, request_version, request_headers),
        request_body=request_body,
        request_trailers=request_trailers,
        response=ResponseHead(version, code, reason, headers) if answered else None,
        response_body=body,
        response_trailers=trailers,
        started_at_ns=started_at_ns,
        response_at_ns=response_at_ns if answered else None,
        outcome=outcome,
        reason=why,
        request_ended=request_ended,
    )
