"""A bound for request bodies that are held until they are answered: mitmproxy's own is one for all sessions.

It is also no bound for a body that is read to its end before anybody is asked (layers/http/__init__.py,
state_consume_request_body): past `most` bytes what came is let go, and so is what still comes.
"""

from __future__ import annotations

from typing import Any

from mitmproxy import http
from mitmproxy.proxy.layers.http import HttpStream
from mitmproxy.proxy.layers.http._events import RequestData

from addons.compat.streams import Commands

_MOST = "wiretape.most_body"
_LET_GO = "wiretape.body_let_go"


def hold_at_most(flow: http.HTTPFlow, most: int) -> None:
    """Keep no more than so many bytes of a request's body that is not streamed; call before it comes."""
    flow.metadata[_MOST] = most


def was_let_go(flow: http.HTTPFlow) -> bool:
    """Tell whether a request's body was longer than what may be kept; there is nothing of it then."""
    return _LET_GO in flow.metadata


def bound_held() -> None:
    """Have bodies that are held kept to their bound."""
    consume: Any = HttpStream.state_consume_request_body
    if getattr(consume, "_wiretape", False):
        return

    def bounded(self: HttpStream, event: Any) -> Commands:
        if isinstance(event, RequestData):
            most = self.flow.metadata.get(_MOST)
            if most is not None and len(self.request_body_buf) + len(event.data) > most:
                self.flow.metadata[_LET_GO] = True
                self.request_body_buf.clear()
            if was_let_go(self.flow):
                return
        yield from consume(self, event)

    bounded._wiretape = True  # type: ignore[attr-defined]
    HttpStream.state_consume_request_body = bounded  # type: ignore[method-assign]
