"""What a monitoring system asks the daemon: is it alive, is it ready, its metrics; over the control socket and TCP."""

from __future__ import annotations

import logging
import socket
import socketserver
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from addons.access import Address
from addons.errors import StartError
from proxy_cli.control_server import Reply

_log = logging.getLogger(__name__)
_SILENCE_SECONDS = 10.0

Look = Callable[[str], Reply | None]
"""Path to its answer, None for an unknown path."""


class ObservingServer(ThreadingHTTPServer):
    """Answers GET requests for metrics and health on a TCP port, and nothing else."""

    daemon_threads = True

    def __init__(self, address: Address, look: Look) -> None:
        """Listen; raises StartError when the address cannot be had."""
        self.look = look
        self.address_family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        try:
            super().__init__((address.host, address.port), _Handler)
        except OSError as exc:
            raise StartError(
                f"cannot serve metrics on {address}: {exc.strerror}; choose another --metrics"
            ) from exc

    @property
    def url(self) -> str:
        """Where it is to be asked."""
        return f"http://{Address(self.server_name, self.server_port)}"

    def server_bind(self) -> None:
        """Bind without http.server's look-up of the host's full name, which asks a resolver."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing about clients that leave early."""


class _Handler(BaseHTTPRequestHandler):
    server: ObservingServer
    server_version = "wiretape"
    sys_version = ""
    timeout = _SILENCE_SECONDS

    def do_GET(self) -> None:
        """Answer."""
        try:
            reply = self.server.look(self.path.partition("?")[0])
        except Exception:
            _log.exception("metrics.failed")
            reply = Reply(500, "text/plain", b"failed; see the log\n")
        if reply is None:
            reply = Reply(404, "text/plain", b"there are /metrics, /health and /ready\n")
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.content_type)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        """Keep requests out of the log."""
