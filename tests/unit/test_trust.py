from __future__ import annotations

import os
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from addons.errors import ConfigError
from proxy_cli import trust
from proxy_cli.ca import ensure_ca
from proxy_cli.certificates import create_authority
from proxy_cli.environment import ROOT_VARIABLES, client_environment
from proxy_cli.javastore import trust_store
from proxy_cli.pem import certificates_in
from proxy_cli.trust import (
    client_ca,
    refresh_bundles,
    system_roots,
    upstream_roots,
    write_bundle,
    write_upstream_roots,
)


def root(name: str) -> bytes:
    return create_authority(name, now=datetime.now(UTC), valid=timedelta(days=1)).certificate


CORPORATE, OTHER, SYSTEM, CERTIFI = (root(name) for name in ("corporate", "other", "system", "certifi"))


def der(pem: bytes) -> bytes:
    [certificate] = certificates_in(pem)
    return certificate


@pytest.fixture(autouse=True)
def known_roots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trust, "system_roots", lambda: [der(SYSTEM)])
    monkeypatch.setattr(trust, "_certifi_roots", lambda: [der(CERTIFI)])


@pytest.fixture
def home(tmp_path: Path) -> Path:
    ensure_ca(tmp_path / "home")
    return tmp_path / "home"


def own(home: Path) -> bytes:
    return certificates_in(ensure_ca(home).certificate.read_bytes())[0]


def roots_in(path: Path) -> list[bytes]:
    return certificates_in(path.read_bytes())


@pytest.fixture
def corporate(tmp_path: Path) -> Path:
    path = tmp_path / "corporate.pem"
    path.write_bytes(CORPORATE)
    return path


def test_a_plain_environment_gets_our_ca_and_the_systems_roots(home: Path) -> None:
    assert roots_in(write_bundle(home, {})) == [own(home), der(SYSTEM)]


def test_without_a_system_store_certifi_stands_in(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trust, "system_roots", list)
    assert roots_in(write_bundle(home, {})) == [own(home), der(CERTIFI)]


@pytest.mark.parametrize("name", ROOT_VARIABLES)
def test_roots_of_the_users_own_stay_trusted(home: Path, corporate: Path, name: str) -> None:
    assert der(CORPORATE) in roots_in(write_bundle(home, {name: str(corporate)}))


def test_folders_of_roots_are_read_whether_one_or_several(home: Path, tmp_path: Path) -> None:
    for name, pem in (("one", CORPORATE), ("two", OTHER)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "root.pem").write_bytes(pem)
    env = {"SSL_CERT_DIR": f"{tmp_path / 'one'}{os.pathsep}{tmp_path / 'two'}"}
    assert {der(CORPORATE), der(OTHER)} < set(roots_in(write_bundle(home, env)))
    env = {"REQUESTS_CA_BUNDLE": str(tmp_path / "one")}
    assert der(CORPORATE) in roots_in(write_bundle(home, env))


def test_duplicates_are_written_once(home: Path, tmp_path: Path) -> None:
    doubled = tmp_path / "doubled.pem"
    doubled.write_bytes(SYSTEM + CORPORATE + CORPORATE)
    bundle = roots_in(write_bundle(home, {"SSL_CERT_FILE": str(doubled), "CURL_CA_BUNDLE": str(doubled)}))
    assert bundle == [own(home), der(SYSTEM), der(CORPORATE)]


@pytest.mark.parametrize("value", ["missing.pem", "/dev/null", ""])
def test_a_variable_that_names_nothing_useful_does_no_harm(home: Path, value: str) -> None:
    assert roots_in(write_bundle(home, {"SSL_CERT_FILE": value})) == [own(home), der(SYSTEM)]


def test_a_file_with_a_broken_certificate_does_not_spoil_the_bundle(home: Path, tmp_path: Path) -> None:
    spoiled = tmp_path / "spoiled.pem"
    spoiled.write_bytes(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" + CORPORATE)
    bundle = write_bundle(home, {"SSL_CERT_FILE": str(spoiled)})
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(bundle)
    assert len(context.get_ca_certs()) == 3


def test_shells_with_different_roots_do_not_overwrite_each_other(home: Path, corporate: Path) -> None:
    plain = write_bundle(home, {})
    special = write_bundle(home, {"SSL_CERT_FILE": str(corporate)})
    assert plain != special
    assert roots_in(write_bundle(home, {})) == [own(home), der(SYSTEM)]
    assert roots_in(special) == [own(home), der(CORPORATE), der(SYSTEM)]


def test_a_bundle_is_replaced_only_when_its_content_changes(home: Path, corporate: Path) -> None:
    env = {"SSL_CERT_FILE": str(corporate)}
    bundle = write_bundle(home, env)
    before = bundle.stat()
    assert write_bundle(home, env).stat().st_ino == before.st_ino
    assert bundle.stat().st_mtime_ns == before.st_mtime_ns
    corporate.write_bytes(CORPORATE + OTHER)
    assert write_bundle(home, env) == bundle
    assert der(OTHER) in roots_in(bundle)


def test_a_renewed_ca_reaches_clients_under_the_same_path(home: Path) -> None:
    bundle = write_bundle(home, {})
    old = own(home)
    ensure_ca(home, datetime.now(UTC) + timedelta(days=80))
    assert write_bundle(home, {}) == bundle
    assert roots_in(bundle) == [own(home), old, der(SYSTEM)]


def test_every_bundle_that_was_handed_out_gets_the_renewed_ca(home: Path, corporate: Path) -> None:
    bundles = [write_bundle(home, {}), write_bundle(home, {"SSL_CERT_FILE": str(corporate)})]
    old = own(home)
    ensure_ca(home, datetime.now(UTC) + timedelta(days=80))
    refresh_bundles(home)
    assert [roots_in(bundle)[:2] for bundle in bundles] == [[own(home), old]] * 2
    assert der(CORPORATE) in roots_in(bundles[1])
    assert der(CORPORATE) not in roots_in(bundles[0])


def test_roots_of_a_java_trust_store_of_the_users_own_stay_trusted(home: Path, tmp_path: Path) -> None:
    store = tmp_path / "own store.p12"
    store.write_bytes(trust_store([der(CORPORATE)]))
    env = {"JAVA_TOOL_OPTIONS": f'-Xmx1g "-Djavax.net.ssl.trustStore={store}"'}
    ca = client_ca(home, env)
    assert roots_in(ca.bundle) == [own(home), der(CORPORATE), der(SYSTEM)]
    # And in a shell within this shell, whose options name our store already.
    inner = env | client_environment("http://127.0.0.1:8080", ca, env, "outer")
    assert client_ca(home, inner).bundle == ca.bundle


def test_java_and_node_get_files_of_their_own_that_are_kept_up_to_date(home: Path, corporate: Path) -> None:
    ca = client_ca(home, {"SSL_CERT_FILE": str(corporate)})
    assert ca.java_store.read_bytes() == trust_store([own(home), der(CORPORATE), der(SYSTEM)])
    assert b"createConnection" in ca.node_preload.read_bytes()
    before = ca.java_store.stat().st_ino
    assert client_ca(home, {"SSL_CERT_FILE": str(corporate)}).java_store.stat().st_ino == before
    corporate.write_bytes(OTHER)
    refresh_bundles(home)
    assert ca.java_store.read_bytes() == trust_store([own(home), der(OTHER), der(SYSTEM)])


def test_a_shell_within_a_shell_keeps_the_users_roots(home: Path, corporate: Path) -> None:
    outer = {"SSL_CERT_FILE": str(corporate)}
    outer |= client_environment("http://127.0.0.1:8080", client_ca(home, outer), outer, "outer")
    inner = client_environment("http://127.0.0.1:8081", client_ca(home, outer), outer, "inner")
    assert inner["SSL_CERT_FILE"] == outer["SSL_CERT_FILE"]
    assert der(CORPORATE) in roots_in(Path(inner["SSL_CERT_FILE"]))


def test_the_proxy_trusts_the_users_roots_and_never_its_own_ca(home: Path, corporate: Path) -> None:
    env = {"SSL_CERT_FILE": str(corporate)}
    env |= client_environment("http://127.0.0.1:8080", client_ca(home, env), env, "outer")
    assert upstream_roots(home, env) == [der(CORPORATE), der(SYSTEM), der(CERTIFI)]


def test_the_proxy_does_not_trust_its_own_ca_even_when_the_system_does(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trust, "system_roots", lambda: [der(SYSTEM), own(home)])
    assert upstream_roots(home, {}) == [der(SYSTEM), der(CERTIFI)]


def test_extra_roots_go_into_a_file_of_their_own(home: Path, corporate: Path) -> None:
    usual = write_upstream_roots(home, {})
    extended = write_upstream_roots(home, {}, [corporate])
    assert roots_in(usual) == [der(SYSTEM), der(CERTIFI)]
    assert roots_in(extended) == [der(CORPORATE), der(SYSTEM), der(CERTIFI)]


def test_an_extra_file_without_a_certificate_is_a_wrong_setting(home: Path, tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_bytes(b"not a certificate")
    for name in ("key.pem", "missing.pem"):
        with pytest.raises(ConfigError, match=f"{name}: holds no certificate"):
            write_upstream_roots(home, {}, [tmp_path / name])


def test_a_path_that_is_hard_to_write_down_survives_a_shell_within_a_shell(
    home: Path, tmp_path: Path
) -> None:
    awkward = tmp_path / "li\nne \udcff.pem"
    awkward.write_bytes(CORPORATE)
    env = {"SSL_CERT_FILE": str(awkward)}
    bundle = write_bundle(home, env)
    assert write_bundle(home, {"SSL_CERT_FILE": str(bundle)}) == bundle
    assert der(CORPORATE) in roots_in(bundle)


def test_system_roots_come_from_the_first_place_that_has_any(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty.pem").write_bytes(b"")
    (tmp_path / "full.pem").write_bytes(SYSTEM)
    monkeypatch.setattr(trust, "_SYSTEM_FILES", (str(tmp_path / "empty.pem"), str(tmp_path / "full.pem")))
    nowhere = ssl.DefaultVerifyPaths("", "", "", str(tmp_path / "no.pem"), "", str(tmp_path / "no"))
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: nowhere)
    assert system_roots() == [der(SYSTEM)]


def test_naming_the_systems_own_store_changes_nothing(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "system.pem").write_bytes(SYSTEM)
    monkeypatch.setattr(trust, "_SYSTEM_FILES", (str(tmp_path / "system.pem"),))
    assert write_bundle(home, {"SSL_CERT_FILE": str(tmp_path / "system.pem")}) == write_bundle(home, {})
