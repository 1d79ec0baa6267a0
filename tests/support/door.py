"""A port that refuses connections until it is opened, and then leads to another one: an upstream that comes back."""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType
from typing import Self


class Door:
    """Hold a port of 127.0.0.1, closed at first; behind it lies `lead_to`."""

    def __init__(self, lead_to: int) -> None:
        self._lead_to = lead_to
        self._sockets: list[socket.socket] = []
        # Bound and not listening: nobody else can have the port, and who connects is refused.
        self._listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._listener.bind(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]

    def connect_to(self, host: str = "", port: int = 443) -> str:
        """Say it as `--connect-to` wants it."""
        return f"{host}:{port}:127.0.0.1:{self.port}"

    def open(self) -> None:
        """Let connections through from now on."""
        self._listener.listen(128)
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for sock in [self._listener, *self._sockets]:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def _accept(self) -> None:
        while True:
            try:
                inside, _ = self._listener.accept()
                outside = socket.create_connection(("127.0.0.1", self._lead_to))
            except OSError:
                return
            self._sockets += [inside, outside]
            for pair in ((inside, outside), (outside, inside)):
                threading.Thread(target=_pass, args=pair, daemon=True).start()


def _pass(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
