"""A proxy that runs for longer than its CA lives: it changes over to the next one, as late as it can."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from addons.child import Child
from cassette.headerfilter import HeaderPolicy
from proxy_cli.ca import LIFETIME, CaPaths, ensure_ca
from tests.support.authority import authority
from tests.support.rawclient import Http1, tunnel
from tests.support.scripts import whole
from tests.support.upstream import HTTP_1_ONLY, Upstream
from tests.support.wiretape import Session

HOST = "api.openai.com"


@contextlib.contextmanager
def _worker(ca: CaPaths, upstream: Upstream) -> Iterator[Session]:
    child = Child("worker", ["addons.worker", str(ca.directory), "w1"], lambda _child: None)
    try:
        port = child.call(
            "open",
            session={
                "name": "alone",
                "directory": None,
                "port": 0,
                "headers": HeaderPolicy().to_json(),
                "hosts": [],
                "never_decrypt": [],
                "max_body": 1 << 20,
                "trusted_ca": str(authority().ca_file),
                "connect_to": [upstream.connect_to()],
                "upstream_proxy": None,
                "replay": None,
            },
        )["port"]
        variables = {"HTTPS_PROXY": f"http://127.0.0.1:{port}", "SSL_CERT_FILE": str(ca.certificate)}
        yield Session("alone", ca.directory / "none.yaml", variables)
    finally:
        child.close(10)


def _common_name(name: Any) -> str:
    """Return it out of what `ssl` makes of a name: tuples of tuples of pairs."""
    return str(dict(pair for part in name for pair in part)["commonName"])


def _signer(session: Session) -> str:
    sock = tunnel(session, HOST)
    certificate = sock.getpeercert()
    assert Http1(sock).ask("GET", "/v1/models").status == 200
    sock.close()
    assert certificate is not None
    return _common_name(certificate["issuer"])


def _name(ca: CaPaths) -> str:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    pem = ca.key_file.read_text()
    context.load_verify_locations(cadata=pem[pem.index("-----BEGIN CERTIFICATE") :])
    return _common_name(context.get_ca_certs()[0]["subject"])


def test_proxy_signs_with_the_next_ca_when_the_old_one_is_about_to_expire(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    ca = ensure_ca(tmp_path, now - LIFETIME + timedelta(hours=12))
    old = _name(ca)
    with Upstream(whole(200, [], b"{}"), alpn=HTTP_1_ONLY) as upstream, _worker(ca, upstream) as session:
        ensure_ca(tmp_path, now)
        assert _signer(session) == _name(ca) != old


def test_proxy_signs_with_the_old_ca_while_clients_may_know_it_alone(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    ca = ensure_ca(tmp_path, now - LIFETIME + timedelta(days=20))
    old = _name(ca)
    with Upstream(whole(200, [], b"{}"), alpn=HTTP_1_ONLY) as upstream, _worker(ca, upstream) as session:
        ensure_ca(tmp_path, now)
        assert _signer(session) == old != _name(ca)
