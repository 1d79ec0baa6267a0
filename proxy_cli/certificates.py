"""Make certificates: an authority of one's own, and the leaves it signs.

Pure: a clock goes in, PEM text comes out, no file is touched. The only module that imports
`cryptography`, which takes about 100 ms: import this one where a certificate is about to be made, not at
the top of what `wiretape env` loads.

What strict verifiers ask for (RFC 5280, 4.2.1; OpenSSL's `X509_V_FLAG_X509_STRICT`, which Python 3.13
turned on by default), and what is therefore set here:

    authority   basicConstraints critical, keyUsage critical with keyCertSign, subjectKeyIdentifier
    leaf        authorityKeyIdentifier, subjectAltName, extendedKeyUsage serverAuth
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

BACKDATED = timedelta(days=2)
"""How far a certificate's life begins in the past: for clients (and containers) whose clock is behind."""


@dataclass(frozen=True, slots=True)
class KeyedCertificate:
    """A private key and its certificate, both PEM. The key is not encrypted (PKCS #8)."""

    key: bytes
    certificate: bytes

    def __repr__(self) -> str:
        """Return a text without the key, for logs and tracebacks."""
        return "KeyedCertificate(key=…, certificate=…)"


def create_authority(name: str, *, now: datetime, valid: timedelta) -> KeyedCertificate:
    """Make a certificate authority that signs itself, with a new P-256 key; it lives until `now + valid`.

    It may sign server certificates only, and no further authorities (pathLenConstraint 0).
    """
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, name),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "wiretape"),
        ]
    )
    certificate = (
        _builder(now, valid)
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_authority_usage(), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return _keyed(key, certificate)


def issue(
    authority: KeyedCertificate, hosts: Sequence[str], *, now: datetime, valid: timedelta
) -> KeyedCertificate:
    """Make a server certificate for `hosts` (DNS names and IP addresses), signed by `authority`.

    Raises ValueError when `hosts` is empty or the authority's key cannot be read.
    """
    if not hosts:
        raise ValueError("a server certificate needs at least one host")
    issuer = x509.load_pem_x509_certificate(authority.certificate)
    issuer_key = serialization.load_pem_private_key(authority.key, None)
    if not isinstance(issuer_key, ec.EllipticCurvePrivateKey):
        raise ValueError("the authority's key is not one on an elliptic curve")
    issuer_id = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        _builder(now, valid)
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0])]))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .add_extension(x509.SubjectAlternativeName([_general_name(host) for host in hosts]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer_id), critical=False
        )
        .sign(issuer_key, hashes.SHA256())
    )
    return _keyed(key, certificate)


def _builder(now: datetime, valid: timedelta) -> x509.CertificateBuilder:

    return (
        x509.CertificateBuilder()
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + valid)
    )


def _authority_usage() -> x509.KeyUsage:

    return x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(host: str) -> x509.GeneralName:

    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _keyed(key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> KeyedCertificate:

    return KeyedCertificate(
        key=key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
        certificate=certificate.public_bytes(serialization.Encoding.PEM),
    )
