"""The certificates in a trust store that Java made: JKS, and PKCS #12 as keytool writes it since Java 9."""

from __future__ import annotations

import struct

_JKS = 0xFEEDFEED
_CERTIFICATE_ENTRY = 2

_PASSWORDS = (None, b"changeit")
"""A store's own password is not known here; this one is Java's, and what most stores have."""


def is_store(content: bytes) -> bool:
    """Tell whether this looks like one of them."""
    return content[:4] == struct.pack(">I", _JKS) or content[:1] == b"\x30"


def roots_in_store(content: bytes) -> list[bytes]:
    """Return the trusted certificates (DER); none when the store is damaged or wants another password."""
    try:
        return _in_jks(content) if content[:1] != b"\x30" else _in_pkcs12(content)
    except (ValueError, struct.error):
        return []


def _in_jks(content: bytes) -> list[bytes]:
    """Read a JKS store up to its first key (JDK, sun.security.provider.JavaKeyStore: engineStore).

    magic, version, number of entries; each: tag, alias, time, and for a certificate its type and its DER. All
    numbers are big-endian, texts have a length of two bytes.
    """
    _, version, number = struct.unpack_from(">III", content)
    at, found = 12, []
    for _ in range(number):
        (tag,) = struct.unpack_from(">I", content, at)
        if tag != _CERTIFICATE_ENTRY:
            break
        at = _behind_text(content, at + 4) + 8
        if version == 2:
            at = _behind_text(content, at)
        (length,) = struct.unpack_from(">I", content, at)
        found.append(content[at + 4 : at + 4 + length])
        at += 4 + length
    return found


def _behind_text(content: bytes, at: int) -> int:
    (length,) = struct.unpack_from(">H", content, at)
    return at + 2 + int(length)


def _in_pkcs12(content: bytes) -> list[bytes]:
    # Only who has such a store pays the 100 ms that this import takes.
    from cryptography.hazmat.primitives.serialization import Encoding, pkcs12  # noqa: PLC0415

    for password in _PASSWORDS:
        try:
            store = pkcs12.load_pkcs12(content, password)
        except ValueError:
            continue
        return [each.certificate.public_bytes(Encoding.DER) for each in store.additional_certs]
    return []
