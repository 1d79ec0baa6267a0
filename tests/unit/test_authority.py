from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from mitmproxy.certs import CertStore

from addons.authority import BASENAME, KEY_BITS, Succession
from proxy_cli.ca import LIFETIME, ensure_ca

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
END = NOW + LIFETIME


def store(folder: Path) -> CertStore:
    return CertStore.from_store(folder, BASENAME, KEY_BITS)


def test_a_successor_is_not_used_before_it_has_to_be(tmp_path: Path) -> None:
    folder = ensure_ca(tmp_path, NOW).directory
    old = store(folder)
    ensure_ca(tmp_path, END - timedelta(days=20))
    assert store(folder).default_ca != old.default_ca
    assert Succession().successor(old, folder, END - timedelta(days=2)) is None


def test_the_successor_is_used_before_the_old_ca_expires(tmp_path: Path) -> None:
    folder = ensure_ca(tmp_path, NOW).directory
    old = store(folder)
    ensure_ca(tmp_path, END - timedelta(days=20))
    found = Succession().successor(old, folder, END - timedelta(hours=23))
    assert found is not None
    assert found.default_ca == store(folder).default_ca
    assert Succession().successor(found, folder, END - timedelta(hours=23)) is None


def test_without_a_successor_the_old_ca_is_kept_and_it_is_looked_for_again(tmp_path: Path) -> None:
    folder = ensure_ca(tmp_path, NOW).directory
    old = store(folder)
    succession = Succession()
    assert succession.successor(old, folder, END) is None
    ensure_ca(tmp_path, END)
    assert succession.successor(old, folder, END + timedelta(seconds=1)) is None
    assert succession.successor(old, folder, END + timedelta(minutes=2)) is not None


def test_a_folder_that_is_gone_or_broken_changes_nothing(tmp_path: Path) -> None:
    ca = ensure_ca(tmp_path, NOW)
    old = store(ca.directory)
    assert Succession().successor(old, tmp_path / "gone", END) is None
    assert not (tmp_path / "gone").exists()
    ca.key_file.write_bytes(b"nothing")
    assert Succession().successor(old, ca.directory, END) is None
