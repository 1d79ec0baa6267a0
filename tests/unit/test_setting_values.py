from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from addons import setting_values
from tests.support.authority import authority


def test_a_size_is_a_number_of_bytes_or_has_a_unit() -> None:
    assert setting_values.size(1048576) == setting_values.size("1MiB") == setting_values.size(" 1024 kib ")
    assert setting_values.size("2TB") == 2 * 10**12


def test_a_duration_may_be_text_since_variables_are() -> None:
    assert setting_values.seconds("1.5") == setting_values.seconds(1.5) == 1.5
    assert setting_values.seconds(0) == 0


def test_a_host_pattern_comes_back_in_its_one_spelling() -> None:
    assert setting_values.host_pattern("API.Example.com.:0443") == "api.example.com:443"


def test_replacements_keep_their_order() -> None:
    assert setting_values.replacements({"b": "1", "a-*": ""}) == (("b", "1"), ("a-*", ""))


def test_no_proxy_and_no_certificates_are_none() -> None:
    assert setting_values.upstream_proxy(None) is None
    assert setting_values.certificates(None, Path()) is None


def test_a_long_wrong_value_is_not_shown() -> None:
    with pytest.raises(ValueError, match=r"not a text$"):
        setting_values.one_of("a", "b")("x" * 100)


def test_number_of_workers_may_be_text_or_left_to_the_machine() -> None:
    assert setting_values.workers("2") == setting_values.workers(2) == 2
    assert setting_values.workers("auto") >= 1
    for value in (0, "0", -1, 65, 1.5, True, None, "many"):
        with pytest.raises(ValueError, match=r"expected a number from 1 to 64 or auto"):
            setting_values.workers(value)


@pytest.mark.parametrize("value", ["", "none"])
def test_no_upstream_proxy_is_something_else_than_nothing_said(value: str) -> None:
    assert setting_values.upstream_proxy(value) == "none"


def test_port_is_a_number_or_none() -> None:
    assert (setting_values.port(8899), setting_values.port("8899"), setting_values.port(None)) == (
        8899,
        8899,
        None,
    )


@pytest.mark.parametrize("value", [0, -1, 65536, "8899x", "", True, 1.5, "٣"])
def test_other_ports_are_refused(value: object) -> None:
    with pytest.raises(ValueError, match="expected a port"):
        setting_values.port(value)


def test_client_certificate_needs_its_key(tmp_path: Path) -> None:
    issued = authority().certificate("me.example")
    issued.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "both.pem"))
    authority().certificate("me.example").cert_chain_pems[0].write_to_path(str(tmp_path / "no-key.pem"))
    issued.private_key_pem.write_to_path(str(tmp_path / "no-certificate.pem"))
    assert setting_values.client_certificate("both.pem", tmp_path) == tmp_path / "both.pem"
    assert setting_values.client_certificate(None, tmp_path) is None
    for name in ("no-key.pem", "no-certificate.pem", "nothing.pem"):
        with pytest.raises(ValueError, match=name):
            setting_values.client_certificate(name, tmp_path)


def test_encrypted_key_is_refused_rather_than_asked_for(tmp_path: Path) -> None:
    issued = authority().certificate("me.example")
    key = serialization.load_pem_private_key(issued.private_key_pem.bytes(), None)
    word = serialization.BestAvailableEncryption(b"a-word")
    form = serialization.PrivateFormat.PKCS8
    encrypted = key.private_bytes(serialization.Encoding.PEM, form, word)
    (tmp_path / "client.pem").write_bytes(encrypted + issued.cert_chain_pems[0].bytes())
    with pytest.raises(ValueError, match="is encrypted"):
        setting_values.client_certificate("client.pem", tmp_path)
