from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from proxy_cli.certificates import create_authority
from proxy_cli.pem import certificates_in, loadable, to_pem


@pytest.fixture(scope="module")
def pems() -> list[bytes]:
    now = datetime.now(UTC)
    return [create_authority(name, now=now, valid=timedelta(days=1)).certificate for name in ("a", "b")]


def test_certificates_are_found_in_order_and_once(pems: list[bytes]) -> None:
    found = certificates_in(pems[1] + pems[0] + pems[1])
    assert [to_pem(certificate) for certificate in found] == [pems[1], pems[0]]


def test_comments_and_windows_line_ends_do_no_harm(pems: list[bytes]) -> None:
    text = b"# A root\r\n" + pems[0].replace(b"\n", b"\r\n") + "Größe".encode("latin-1") + pems[1]
    assert [to_pem(certificate) for certificate in certificates_in(text)] == pems


def test_a_private_key_is_never_taken_along(pems: list[bytes]) -> None:
    made = create_authority("c", now=datetime.now(UTC), valid=timedelta(days=1))
    found = certificates_in(made.key + made.certificate)
    assert [to_pem(certificate) for certificate in found] == [made.certificate]


def test_a_broken_block_is_left_out_and_the_rest_kept(pems: list[bytes]) -> None:
    broken = b"-----BEGIN CERTIFICATE-----\nAAAAA\n-----END CERTIFICATE-----\n"
    cut = pems[0][:100]
    assert [to_pem(each) for each in certificates_in(broken + pems[0] + cut + pems[1])] == pems


def test_what_openssl_cannot_read_is_left_out(pems: list[bytes]) -> None:
    good = certificates_in(b"".join(pems))
    assert loadable([good[0], b"no certificate", good[1][:-20], good[1]]) == good


def test_a_list_without_fault_stays_as_it_is(pems: list[bytes]) -> None:
    good = certificates_in(b"".join(pems))
    assert loadable(good) == good
    assert loadable([]) == []
