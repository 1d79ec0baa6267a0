"""The control API's server: the standard library's HTTP server on a Unix socket, a thread per request."""

from __future__ import annotations

import json
import logging
import socket
import socketserver
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from addons.errors import ControlError, ProxyError
from cassette.errors import CassetteError
from proxy_cli.messages import error_to_json

_log = logging.getLogger(__name__)
_LONGEST_REQUEST = 1 << 20


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that is not JSON with status 200."""

    status: int
    content_type: str
    body: bytes


Route = Callable[[str, str, dict[str, Any]], Any]
"""Method, path and body of a request to the answer's body, or a `Reply`; raises ControlError for an unknown path."""


class ControlServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """Serves `route` on a socket that only this user can reach (0600 in a folder 0700)."""

    daemon_threads = True
    request_queue_size = 128
    """Commands that are started at once; the default of 5 refuses some of them."""

    def __init__(self, path: Path, route: Route) -> None:
        """Bind; the caller holds the daemon's lock, so a socket that is there belongs to a dead daemon."""
        self.route = route
        path.unlink(missing_ok=True)
        super().__init__(str(path), _Handler)
        path.chmod(0o600)

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept; a Unix socket's peer has no name, and the handler wants one."""
        connection, _ = super().get_request()
        return connection, ("client", 0)


def _parse(data: bytes) -> dict[str, Any]:
    try:
        body = json.loads(data) if data else {}
    except ValueError as exc:
        raise ControlError(f"the request is not JSON: {exc}") from exc
    if not isinstance(body, dict):
        raise ControlError("the request is not a JSON object")
    return body


class _Handler(BaseHTTPRequestHandler):
    server: ControlServer
    server_version = "wiretape"
    protocol_version = "HTTP/1.1"

    def _serve(self) -> None:
        status = 200
        try:
            length = self.headers.get("Content-Length") or "0"
            if not length.isdecimal() or int(length) > _LONGEST_REQUEST:
                self.close_connection = True  # what follows is no request
                raise ControlError("the request is too long, or does not say how long it is")
            body = _parse(self.rfile.read(int(length)))
            answer = self.server.route(self.command, unquote(self.path), body)
        except (ProxyError, CassetteError) as exc:
            status, answer = 409, error_to_json(exc)
        except Exception as exc:  # whatever it is, the one who asked gets an answer
            _log.exception("control.failed path=%s", self.path)
            status, answer = 500, error_to_json(exc)
        if not isinstance(answer, Reply):
            answer = Reply(status, "application/json", json.dumps(answer).encode() + b"\n")
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815 - http.server's names

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        """Keep requests out of the log; what they did is logged."""
