"""TLS handshakes in memory: no socket, no port."""

from __future__ import annotations

import ssl
from pathlib import Path


def strict_context(certificate: bytes) -> ssl.SSLContext:
    """Trust one certificate (PEM) and verify as Python 3.13 does by default."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.load_verify_locations(cadata=certificate.decode("ascii"))
    return context


def shake_hands(client: ssl.SSLContext, key_and_certificate: bytes, folder: Path, name: str) -> None:
    """Connect to a server of this certificate under `name`; raises what the client would raise."""
    key_file = folder / "server.pem"
    key_file.write_bytes(key_and_certificate)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(key_file)
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname=name),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    # A handshake of TLS 1.3 takes two rounds; ten without an end would be a fault of this helper.
    for _ in range(10):
        for end in list(ends):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            ends.remove(end)
    assert not ends
