from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from proxy_cli.certificates import KeyedCertificate, create_authority, issue
from tests.support.handshake import shake_hands, strict_context

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
YEAR = timedelta(days=365)


@pytest.fixture(scope="module")
def authority() -> KeyedCertificate:
    return create_authority("test CA", now=datetime.now(UTC), valid=YEAR)


def test_a_leaf_verifies_under_the_strict_rules_of_python_3_13(
    authority: KeyedCertificate, tmp_path: Path
) -> None:
    leaf = issue(authority, ["api.example.com"], now=datetime.now(UTC), valid=YEAR)
    shake_hands(
        strict_context(authority.certificate), leaf.key + leaf.certificate, tmp_path, "api.example.com"
    )


def test_a_leaf_is_refused_for_another_name(authority: KeyedCertificate, tmp_path: Path) -> None:
    leaf = issue(authority, ["api.example.com"], now=datetime.now(UTC), valid=YEAR)
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        shake_hands(
            strict_context(authority.certificate), leaf.key + leaf.certificate, tmp_path, "api.example.org"
        )


def test_a_leaf_of_another_authority_of_the_same_name_is_refused(
    authority: KeyedCertificate, tmp_path: Path
) -> None:
    other = create_authority("test CA", now=datetime.now(UTC), valid=YEAR)
    leaf = issue(other, ["api.example.com"], now=datetime.now(UTC), valid=YEAR)
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(
            strict_context(authority.certificate), leaf.key + leaf.certificate, tmp_path, "api.example.com"
        )


def test_ip_addresses_are_written_as_addresses(authority: KeyedCertificate, tmp_path: Path) -> None:
    leaf = issue(authority, ["127.0.0.1", "::1"], now=datetime.now(UTC), valid=YEAR)
    shake_hands(strict_context(authority.certificate), leaf.key + leaf.certificate, tmp_path, "127.0.0.1")
    shake_hands(strict_context(authority.certificate), leaf.key + leaf.certificate, tmp_path, "::1")


def test_the_life_of_a_certificate_begins_two_days_ago() -> None:
    certificate = x509.load_pem_x509_certificate(create_authority("c", now=NOW, valid=YEAR).certificate)
    assert certificate.not_valid_before_utc == NOW - timedelta(days=2)
    assert certificate.not_valid_after_utc == NOW + YEAR


def test_an_authority_cannot_make_further_authorities(authority: KeyedCertificate) -> None:
    certificate = x509.load_pem_x509_certificate(authority.certificate)
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert constraints.value == x509.BasicConstraints(ca=True, path_length=0)


def test_an_authority_may_sign_certificates_and_nothing_else(authority: KeyedCertificate) -> None:
    certificate = x509.load_pem_x509_certificate(authority.certificate)
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert usage.value.key_cert_sign
    assert not usage.value.digital_signature
    purposes = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(purposes) == [ExtendedKeyUsageOID.SERVER_AUTH]


def test_two_authorities_have_different_keys_and_serial_numbers() -> None:
    one, two = (create_authority("c", now=NOW, valid=YEAR) for _ in range(2))
    assert one.key != two.key
    serials = {x509.load_pem_x509_certificate(each.certificate).serial_number for each in (one, two)}
    assert len(serials) == 2


def test_a_certificate_without_hosts_is_refused(authority: KeyedCertificate) -> None:
    with pytest.raises(ValueError, match="at least one host"):
        issue(authority, [], now=NOW, valid=YEAR)


def test_the_key_does_not_show_in_a_traceback(authority: KeyedCertificate) -> None:
    assert "PRIVATE KEY" not in repr(authority)
