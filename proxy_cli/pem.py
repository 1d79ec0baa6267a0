"""Certificates in PEM text (RFC 7468): find them, write them, leave out what no client could load.

Only the standard library is used: `wiretape env` runs this each time.
"""

from __future__ import annotations

import binascii
import re
import ssl
from collections.abc import Iterable, Sequence

# Trust settings ("TRUSTED CERTIFICATE"), keys and the text between blocks are skipped on purpose.
_BLOCK = re.compile(rb"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]*)-----END CERTIFICATE-----")


def certificates_in(text: bytes) -> list[bytes]:
    """Return the certificates of a PEM text in DER form, in order, each once; broken blocks are left out."""
    found: dict[bytes, None] = {}
    for block in _BLOCK.finditer(text):
        try:
            found[binascii.a2b_base64(block[1])] = None
        except binascii.Error:
            continue
    return list(found)


def to_pem(certificate: bytes) -> bytes:
    """Write one certificate (DER) as PEM, lines of 64 characters."""
    return ssl.DER_cert_to_PEM_cert(certificate).encode("ascii")


def loadable(certificates: Sequence[bytes]) -> list[bytes]:
    """Return those certificates that OpenSSL can read: a single one that it cannot spoils a whole file."""
    if _loads(certificates):
        return list(certificates)
    return [certificate for certificate in certificates if _loads([certificate])]


def _loads(certificates: Iterable[bytes]) -> bool:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cadata=b"".join(certificates))
    except (ssl.SSLError, ValueError):
        return False
    return True
