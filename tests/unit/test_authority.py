from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from mitmproxy.certs import CertStore

from addons.authority import KEY_BITS, Succession
from addons.ca_files import BASENAME
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


def test_a_proxy_that_starts_after_a_renewal_begins_with_the_ca_that_clients_know(tmp_path: Path) -> None:
    folder = ensure_ca(tmp_path, NOW).directory
    old = store(folder)
    ensure_ca(tmp_path, END - timedelta(days=20))
    started = store(folder)  # what mitmproxy itself reads
    succession = Succession()
    begun = succession.turn(started, folder, END - timedelta(days=19))
    assert begun.default_ca == old.default_ca
    assert succession.turn(begun, folder, END - timedelta(days=2)) is begun
    changed = succession.turn(begun, folder, END - timedelta(hours=23))
    assert changed.default_ca == started.default_ca


def test_a_proxy_that_starts_on_the_last_day_of_the_old_ca_begins_with_the_new_one(tmp_path: Path) -> None:
    folder = ensure_ca(tmp_path, NOW).directory
    ensure_ca(tmp_path, END - timedelta(days=20))
    started = store(folder)
    assert Succession().turn(started, folder, END - timedelta(hours=12)) is started


def test_a_broken_file_of_the_former_ca_is_passed_over(tmp_path: Path) -> None:
    ca = ensure_ca(tmp_path, NOW)
    ensure_ca(tmp_path, END - timedelta(days=20))
    (ca.directory / "former-ca.pem").write_bytes(b"nothing")
    started = store(ca.directory)
    assert Succession().turn(started, ca.directory, END - timedelta(days=19)) is started
