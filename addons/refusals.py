"""What a session that replays answers of itself: nothing matched, or the host is none that it replays."""

from __future__ import annotations

import json

from mitmproxy import http

from addons import compat, flows
from addons.flows import Replay

MISS_STATUS = 501
"""Not Implemented: an error of the server's that few clients try again. google-genai and botocore do after 500, 502,
503 and 504; the SDKs of OpenAI and Anthropic after any 5xx, unless `x-should-retry` says no, which it does."""
TOO_LONG_STATUS = 413
REFUSED_STATUS = 403
"""Of a host that a sealed session has nothing to do with."""


def sealed_off(host: str, port: int, *, listed: bool) -> str:
    """Return why a sealed session does not connect there."""
    if listed:
        return f"{host}:{port} is replayed, and this session never connects to what it replays"
    return f"{host}:{port} is not replayed, and this session connects to nothing else"


def refuse_host(flow: http.HTTPFlow, host: str, port: int) -> None:
    """Answer a request, or a CONNECT, for a host that a sealed session does not replay."""
    refuse(flow, REFUSED_STATUS, "host_not_replayed", sealed_off(host, port, listed=False))


def refuse(flow: http.HTTPFlow, status: int, code: str, message: str) -> None:
    """Answer a request without an upstream, in the shapes from which SDKs take the message of their exceptions."""
    flows.mark_replay(flow, Replay.REFUSED)
    text = f"wiretape: {message}"
    error = {"message": text, "type": "wiretape_replay_error", "code": code}
    body = json.dumps({"type": "error", "message": text, "error": error}).encode()
    flow.response = http.Response.make(
        status,
        body,
        {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "Cache-Control": "no-store",
            "X-Should-Retry": "false",
            compat.ERROR_HEADER: code,
        },
    )
    if flow.request.method == "HEAD":
        flow.response.raw_content = b""
