from __future__ import annotations

import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, pkcs12

from proxy_cli.certificates import create_authority
from proxy_cli.javastore import trust_store
from proxy_cli.pem import certificates_in, to_pem

ROOTS = [
    certificates_in(create_authority(name, now=datetime.now(UTC), valid=timedelta(days=1)).certificate)[0]
    for name in ("one", "two", "three")
]


def test_the_same_certificates_make_the_same_store() -> None:
    assert trust_store(ROOTS) == trust_store(list(ROOTS))


@pytest.mark.parametrize("count", [0, 1, 3])
def test_another_reader_of_pkcs12_finds_every_certificate(count: int) -> None:
    read = pkcs12.load_pkcs12(trust_store(ROOTS[:count]), None)
    found = [each.certificate.public_bytes(Encoding.DER) for each in read.additional_certs]
    assert sorted(found) == sorted(ROOTS[:count])


def test_java_trusts_every_certificate_in_it(tmp_path: Path) -> None:
    if (keytool := shutil.which("keytool")) is None:
        pytest.skip("keytool is not installed")
    store = tmp_path / "store.p12"
    store.write_bytes(trust_store(ROOTS))
    command = [keytool, "-list", "-rfc", "-keystore", str(store), "-storetype", "PKCS12", "-storepass", "any"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said.count("Entry type: trustedCertEntry") == 3
    listed = said.replace("\r\n", "\n")
    assert all(to_pem(root).decode() in listed for root in ROOTS)
