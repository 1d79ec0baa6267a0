from __future__ import annotations

import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from proxy_cli.certificates import create_authority
from proxy_cli.java_roots import is_store, roots_in_store
from proxy_cli.javastore import trust_store
from proxy_cli.pem import certificates_in, to_pem

ROOTS = [
    certificates_in(create_authority(name, now=datetime.now(UTC), valid=timedelta(days=1)).certificate)[0]
    for name in ("one", "two")
]


def _made_by_keytool(folder: Path, kind: str, password: str) -> bytes:
    if (keytool := shutil.which("keytool")) is None:
        pytest.skip("keytool is not installed")
    store = folder / "store"
    for number, root in enumerate(ROOTS):
        certificate = folder / f"{number}.pem"
        certificate.write_bytes(to_pem(root))
        command = [keytool, "-importcert", "-noprompt", "-alias", f"root{number}", "-file", str(certificate),
                   "-keystore", str(store), "-storetype", kind, "-storepass", password]  # fmt: skip
        subprocess.run(command, capture_output=True, check=True)
    return store.read_bytes()


@pytest.mark.parametrize(("kind", "password"), [("JKS", "another"), ("PKCS12", "changeit")])
def test_a_store_of_javas_own_tool_is_read(kind: str, password: str, tmp_path: Path) -> None:
    content = _made_by_keytool(tmp_path, kind, password)
    assert is_store(content)
    assert sorted(roots_in_store(content)) == sorted(ROOTS)


def test_a_store_of_ours_is_read() -> None:
    assert roots_in_store(trust_store(ROOTS)) == ROOTS


def test_pem_is_no_store() -> None:
    assert not is_store(to_pem(ROOTS[0]))


@pytest.mark.parametrize(
    "content", [b"\xfe\xed\xfe\xed", b"\xfe\xed\xfe\xed" + b"\xff" * 40, b"0\x82", b"0" * 99]
)
def test_a_damaged_store_has_no_roots(content: bytes) -> None:
    assert roots_in_store(content) == []
