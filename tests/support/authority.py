"""A certificate authority for one test run, and server contexts for any host that a client asks for."""

from __future__ import annotations

import functools
import ssl
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

import trustme

DEFAULT_HOST = "localhost"
"""The certificate for a client that sends no server name."""


class Authority:
    """Issue certificates on demand; `ca_file` is what a client has to trust."""

    def __init__(self) -> None:
        self._ca = trustme.CA()
        self._lock = threading.Lock()
        self._issued: dict[str, trustme.LeafCert] = {}
        self._folder = tempfile.TemporaryDirectory(prefix="upstream-ca-")
        self.ca_file = Path(self._folder.name) / "ca.pem"
        self._ca.cert_pem.write_to_path(str(self.ca_file))

    def certificate(self, host: str) -> trustme.LeafCert:
        """Return the certificate of a host, the same one each time."""
        with self._lock:
            if host not in self._issued:
                names = [host, "127.0.0.1"] if host == DEFAULT_HOST else [host]
                self._issued[host] = self._ca.issue_cert(*names)
            return self._issued[host]


@functools.cache
def authority() -> Authority:
    """Return the one authority of this process."""
    return Authority()


class ServerContexts:
    """The TLS side of one upstream: the right certificate for each server name, one ALPN offer for all."""

    def __init__(self, alpn: Sequence[str], *, demands_certificate: bool = False) -> None:
        """`demands_certificate`: let only those in who show one of the authority's."""
        self._alpn = list(alpn)
        self._demands_certificate = demands_certificate
        self._lock = threading.Lock()
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._hosts: dict[ssl.SSLContext, str] = {}
        self.default = self._context(DEFAULT_HOST)
        self.default.sni_callback = self._choose

    def host_of(self, context: ssl.SSLContext) -> str:
        """Name the host whose certificate a handshake ended with."""
        return self._hosts[context]

    def _choose(self, tls: ssl.SSLObject, name: str | None, initial: ssl.SSLContext) -> int | None:
        if name and name != DEFAULT_HOST:
            tls.context = self._context(name)
        return None

    def _context(self, host: str) -> ssl.SSLContext:
        with self._lock:
            if host not in self._contexts:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                authority().certificate(host).configure_cert(context)
                context.set_alpn_protocols(self._alpn)
                if self._demands_certificate:
                    context.verify_mode = ssl.CERT_REQUIRED
                    context.load_verify_locations(authority().ca_file)
                self._contexts[host] = context
                self._hosts[context] = host
            return self._contexts[host]
