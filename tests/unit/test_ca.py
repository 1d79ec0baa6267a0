from __future__ import annotations

import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from mitmproxy.certs import CertStore

from addons.errors import StartError
from proxy_cli.ca import LIFETIME, ca_paths, ca_text, ensure_ca, read_authority
from proxy_cli.certificates import KeyedCertificate, issue
from proxy_cli.pem import certificates_in, to_pem
from tests.support.handshake import shake_hands, strict_context

ROOT = Path(__file__).resolve().parents[2]
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def certificates(path: Path) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(path.read_bytes())


def test_the_ca_is_made_once(tmp_path: Path) -> None:
    ca = ensure_ca(tmp_path)
    first = ca.key_file.read_bytes()
    assert ensure_ca(tmp_path) == ca
    assert ca.key_file.read_bytes() == first


def test_the_key_file_holds_the_key_of_its_certificate(tmp_path: Path) -> None:
    ca = ensure_ca(tmp_path)
    key = serialization.load_pem_private_key(ca.key_file.read_bytes(), None)
    [certificate] = certificates(ca.key_file)
    assert key.public_key() == certificate.public_key()
    assert certificates(ca.certificate) == [certificate]


def test_the_certificate_file_holds_no_key(tmp_path: Path) -> None:
    assert b"PRIVATE" not in ensure_ca(tmp_path).certificate.read_bytes()


def test_the_folder_and_its_files_are_private(tmp_path: Path) -> None:
    previous = os.umask(0)
    try:
        ca = ensure_ca(tmp_path)
    finally:
        os.umask(previous)
    assert stat.S_IMODE(ca.directory.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in ca.directory.iterdir()} == {0o600}


def test_the_subject_names_neither_user_nor_machine_and_differs_between_installations(tmp_path: Path) -> None:
    names = [read_authority(ensure_ca(tmp_path / home)).name for home in ("a", "b")]
    assert all(name.startswith("wiretape CA ") and len(name) == len("wiretape CA 01234567") for name in names)
    assert names[0] != names[1]


def test_a_ca_with_a_month_left_is_kept(tmp_path: Path) -> None:
    ca = ensure_ca(tmp_path, NOW)
    made = ca.key_file.read_bytes()
    ensure_ca(tmp_path, NOW + timedelta(days=90 - 30))
    assert ca.key_file.read_bytes() == made


def test_a_ca_with_less_than_a_month_left_is_replaced(tmp_path: Path) -> None:
    ca = ensure_ca(tmp_path, NOW)
    [old] = certificates(ca.key_file)
    ensure_ca(tmp_path, NOW + timedelta(days=90 - 29))
    [new] = certificates(ca.key_file)
    assert new.public_key() != old.public_key()
    assert new.subject != old.subject


def test_a_replaced_ca_stays_trusted_until_it_expires(tmp_path: Path) -> None:
    ca = ensure_ca(tmp_path, NOW)
    [old] = certificates(ca.key_file)
    ensure_ca(tmp_path, NOW + timedelta(days=70))
    [new] = certificates(ca.key_file)
    assert certificates(ca.certificate) == [new, old]
    ensure_ca(tmp_path, NOW + timedelta(days=91))
    assert certificates(ca.certificate) == [new]


def test_a_certificate_file_that_was_lost_is_written_again(tmp_path: Path) -> None:
    ca = ensure_ca(tmp_path)
    before = ca.certificate.read_bytes()
    ca.certificate.unlink()
    ensure_ca(tmp_path)
    assert ca.certificate.read_bytes() == before


def test_threads_that_find_no_ca_agree_on_one(tmp_path: Path) -> None:
    def make(_: int) -> str:
        return read_authority(ensure_ca(tmp_path)).fingerprint

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(make, range(8)))) == 1


def test_processes_that_find_no_ca_agree_on_one(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from proxy_cli.ca import *;"
        "print(read_authority(ensure_ca(Path(sys.argv[1]))).fingerprint)"
    )
    running = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    seen = {process.communicate(timeout=60)[0].strip() for process in running}
    assert seen == {read_authority(ensure_ca(tmp_path)).fingerprint}


def test_a_link_in_place_of_the_key_file_is_refused(tmp_path: Path) -> None:
    other = ensure_ca(tmp_path / "other")
    ca = ensure_ca(tmp_path / "home")
    ca.key_file.unlink()
    ca.key_file.symlink_to(other.key_file)
    with pytest.raises(StartError, match="symbolic link"):
        ensure_ca(tmp_path / "home")


@pytest.mark.parametrize("content", [b"", b"not PEM", b"-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_a_damaged_key_file_is_an_error_that_says_what_to_do(tmp_path: Path, content: bytes) -> None:
    ca = ensure_ca(tmp_path)
    ca.key_file.write_bytes(content)
    with pytest.raises(StartError, match="delete the file"):
        ensure_ca(tmp_path)


def test_a_key_file_whose_certificate_is_no_ca_is_an_error(tmp_path: Path) -> None:
    ca = ensure_ca(tmp_path)
    text = ca.key_file.read_bytes()
    [der] = certificates_in(text)
    certificate = to_pem(der)
    authority = KeyedCertificate(key=text.removesuffix(certificate), certificate=certificate)
    leaf = issue(authority, ["example.com"], now=NOW, valid=timedelta(days=1))
    ca.key_file.write_bytes(leaf.key + leaf.certificate)
    with pytest.raises(StartError, match="not that of a CA"):
        ensure_ca(tmp_path)


def test_the_fingerprint_and_expiry_are_those_of_the_certificate(tmp_path: Path) -> None:
    ca = ensure_ca(tmp_path)
    authority = read_authority(ca)
    [certificate] = certificates(ca.certificate)
    assert authority.fingerprint == certificate.fingerprint(hashes.SHA256()).hex(":").upper()
    assert authority.expires_at == certificate.not_valid_after_utc


def test_the_text_says_what_and_where_the_ca_is_and_how_to_be_rid_of_it(tmp_path: Path) -> None:
    ca = ensure_ca(tmp_path / "my home")
    text = "\n".join(ca_text(ca))
    authority = read_authority(ca)
    assert str(ca.certificate) in text
    assert authority.fingerprint in text
    assert f"{authority.expires_at:%Y-%m-%d}" in text
    assert f"rm -r '{ca.directory}'" in text


def test_reading_a_ca_that_was_never_made_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="no CA yet"):
        read_authority(ca_paths(tmp_path))


def test_a_ca_that_is_there_is_found_without_importing_cryptography(tmp_path: Path) -> None:
    ensure_ca(tmp_path)
    script = (
        "import sys; from pathlib import Path; from proxy_cli.trust import client_ca;"
        "client_ca(Path(sys.argv[1]), {});"
        "sys.exit(any(name.partition('.')[0] in {'cryptography', 'mitmproxy'} for name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], cwd=ROOT, timeout=60, check=False)
    assert done.returncode == 0


def test_mitmproxy_takes_the_ca_and_its_leaf_verifies_strictly(tmp_path: Path) -> None:
    ca = ensure_ca(tmp_path)
    store = CertStore.from_store(ca.directory, "mitmproxy", 2048)
    assert store.default_chain_file is None
    entry = store.get_cert("api.example.com", [x509.DNSName("api.example.com")])
    [certificate] = certificates(ca.certificate)
    entry.cert._cert.verify_directly_issued_by(certificate)
    key = entry.privatekey.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    client = strict_context(ca.certificate.read_bytes())
    shake_hands(client, key + entry.cert.to_pem(), tmp_path, "api.example.com")


def test_key_of_a_replaced_ca_is_kept_until_a_day_before_its_end(tmp_path: Path) -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    end = now + LIFETIME
    ca = ensure_ca(tmp_path, now)
    first = ca.key_file.read_bytes()
    former = ca.directory / "former-ca.pem"
    assert not former.exists()
    ensure_ca(tmp_path, end - timedelta(days=20))
    assert former.read_bytes() == first
    assert stat.S_IMODE(former.stat().st_mode) == 0o600
    ensure_ca(tmp_path, end - timedelta(days=2))
    assert former.exists()
    ensure_ca(tmp_path, end - timedelta(hours=23))
    assert not former.exists()
