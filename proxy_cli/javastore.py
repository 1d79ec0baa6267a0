"""A trust store for Java: certificates in a PKCS #12 file, with no password and nothing encrypted.

Java takes a certificate in a PKCS #12 file for a trusted one only when it carries an attribute of Oracle's (JDK,
`sun.security.pkcs12.PKCS12KeyStore`: TrustedKeyUsage_OID). `cryptography` can write it from version 45 on; mitmproxy 11
wants an older one, and one structure of RFC 7292 in DER is little code. Without a MAC Java asks for no password, and
does not mind one: what is in the file is public.
"""

from __future__ import annotations

from collections.abc import Sequence

# Object identifiers in DER, tag and length included.
_DATA = bytes.fromhex("06092a864886f70d010701")  # 1.2.840.113549.1.7.1, pkcs7 data
_CERT_BAG = bytes.fromhex("060b2a864886f70d010c0a0103")  # 1.2.840.113549.1.12.10.1.3
_X509_CERTIFICATE = bytes.fromhex("060a2a864886f70d01091601")  # 1.2.840.113549.1.9.22.1
_TRUSTED_KEY_USAGE = bytes.fromhex("060c6086480186f966adca7b0101")  # 2.16.840.1.113894.746875.1.1
_ANY_USAGE = bytes.fromhex("0604551d2500")  # 2.5.29.37.0, anyExtendedKeyUsage

_INTEGER, _OCTETS, _SEQUENCE, _SET, _EXPLICIT_0 = 0x02, 0x04, 0x30, 0x31, 0xA0


def trust_store(certificates: Sequence[bytes]) -> bytes:
    """Return the content of a trust store with these certificates (DER), the same for the same ones."""
    attributes = _der(_SET, _der(_SEQUENCE, _TRUSTED_KEY_USAGE, _der(_SET, _ANY_USAGE)))
    bags = (
        _der(
            _SEQUENCE,
            _CERT_BAG,
            _der(
                _EXPLICIT_0,
                _der(_SEQUENCE, _X509_CERTIFICATE, _der(_EXPLICIT_0, _der(_OCTETS, certificate))),
            ),
            attributes,
        )
        for certificate in certificates
    )
    safe = _der(_SEQUENCE, _data(_der(_SEQUENCE, *bags)))
    return _der(_SEQUENCE, _der(_INTEGER, b"\x03"), _data(safe))


def _data(content: bytes) -> bytes:
    """Wrap bytes as PKCS #7 data (RFC 2315, section 7)."""
    return _der(_SEQUENCE, _DATA, _der(_EXPLICIT_0, _der(_OCTETS, content)))


def _der(tag: int, *parts: bytes) -> bytes:
    """Write one element: tag, length in the shortest form, content (X.690, 8.1.3)."""
    content = b"".join(parts)
    length = len(content)
    if length < 0x80:
        return bytes((tag, length)) + content
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets + content
