"""The installation's own certificate authority: made once, kept private, renewed in time.

Nothing is installed into any system's trust store. The folder `HOME/ca` (0700, files 0600) holds

    mitmproxy-ca.pem   private key + certificate, the one source of truth; the name is what mitmproxy's
                       CertStore.from_store(folder, "mitmproxy", ...) reads (certs.py of 11.0.2 and 12.2.3)
    wiretape-ca.pem    the certificate alone, for clients that add a root to theirs; behind it those
                       certificates that a renewal replaced and that have not expired: a proxy that
                       started before the renewal still signs with them
    former-ca.pem      private key + certificate of the one that was replaced last, as long as it is signed with
    bundle*.pem        all roots of a client together (see `proxy_cli.trust`); bundle*.p12 the same for Java
    wiretape-node.cjs  no certificate: what Node programs load (see `node_proxy.cjs`)

and mitmproxy adds `mitmproxy-dhparam.pem` (public numbers).

The CA lives for a short time, so that a key which got away is soon worth nothing. It is not limited to names (RFC 5280,
4.2.1.10). Measured with the registrable domains of the routers, localhost and 127.0.0.0/8 permitted: OpenSSL
(Python, Node, curl) and Go refuse every other host, and which ones `--host` adds is known only after clients have
read the CA; OpenSSL also refuses the leaf of a bare address, whose common name it takes for a DNS name; and Java
does not look at the constraints of a root at all.
"""

from __future__ import annotations

import hashlib
import secrets
import shlex
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from addons.ca_files import BASENAME, CHANGE_BEFORE, FORMER
from addons.errors import StartError
from proxy_cli.pem import certificates_in, to_pem
from proxy_cli.private import PrivateFolder

FOLDER = "ca"
KEY_FILE = f"{BASENAME}-ca.pem"
FORMER_KEY_FILE = f"{FORMER}-ca.pem"
CERTIFICATE_FILE = "wiretape-ca.pem"
BUNDLE_FILE = "bundle.pem"
JAVA_SUFFIX = ".p12"
NODE_PRELOAD_FILE = "wiretape-node.cjs"

LIFETIME = timedelta(days=90)
"""As Let's Encrypt's certificates have it. Chosen, not measured."""

RENEW_BEFORE = timedelta(days=30)
"""A CA with less life than this is replaced: a client started today should not see it expire."""


@dataclass(frozen=True, slots=True)
class CaPaths:
    """Where the CA's files lie."""

    directory: Path
    """What mitmproxy calls its confdir."""
    certificate: Path
    """The CA's certificate, for clients that *add* a root (NODE_EXTRA_CA_CERTS)."""
    key_file: Path
    """Private key and certificate, for the proxy alone."""
    bundle: Path
    """The usual roots and the CA's, for clients whose setting *replaces* their roots (SSL_CERT_FILE)."""

    @property
    def java_store(self) -> Path:
        """The bundle once more, as a trust store for Java; beside it."""
        return self.bundle.with_suffix(JAVA_SUFFIX)

    @property
    def node_preload(self) -> Path:
        """What Node loads to go through the proxy (NODE_OPTIONS); not about trust, but for the same readers."""
        return self.directory / NODE_PRELOAD_FILE


@dataclass(frozen=True, slots=True)
class Authority:
    """What a CA certificate says about itself."""

    name: str
    fingerprint: str
    """SHA-256 of the DER form, upper-case hex with colons, as `openssl x509 -fingerprint -sha256` has it."""
    expires_at: datetime


def ca_paths(home: Path) -> CaPaths:
    """Name the files of `home`'s CA; touches nothing."""
    directory = home / FOLDER
    return CaPaths(
        directory=directory,
        certificate=directory / CERTIFICATE_FILE,
        key_file=directory / KEY_FILE,
        bundle=directory / BUNDLE_FILE,
    )


def ensure_ca(home: Path, now: datetime | None = None) -> CaPaths:
    """Return the CA of `home`, made when there is none and replaced when it is about to expire.

    Of several processes that find it missing at once, one makes it and all return the same. Costs
    about a millisecond when there is nothing to do. A replaced CA stays in `certificate` (and so in the
    bundles) until it expires, and its key on the disk until a day before: proxies sign with it until then, for the
    clients that started before the renewal (`addons.authority`). Raises StartError when the folder or a file
    in it cannot be used.
    """
    now = now or datetime.now(UTC)
    paths = ca_paths(home)
    PrivateFolder(home).close()  # or a link in its place would be followed
    with PrivateFolder(paths.directory) as folder:
        if not _is_settled(folder, now):
            with folder.lock():
                _settle(folder, now)
        former = folder.read(FORMER_KEY_FILE)
        if former is not None and not any(
            _is_alive(one, now + CHANGE_BEFORE) for one in certificates_in(former)
        ):
            folder.remove(FORMER_KEY_FILE)
    return paths


def read_authority(ca: CaPaths) -> Authority:
    """Read what `wiretape ca` shows. Raises StartError when there is no CA or its file is damaged."""
    with PrivateFolder(ca.directory) as folder:
        certificate = _current(folder)
    if certificate is None:
        raise StartError(f"{ca.key_file}: there is no CA yet; `wiretape start` makes one")
    return _describe(certificate)


def ca_text(ca: CaPaths, now: datetime | None = None) -> list[str]:
    """Return the lines of `wiretape ca`: what and where the CA is, how to trust it, how to be rid of it."""
    authority = read_authority(ca)
    days = (authority.expires_at - (now or datetime.now(UTC))).days
    return [
        f"{authority.name}",
        f"  certificate  {ca.certificate}",
        f"  SHA-256      {authority.fingerprint}",
        f"  expires      {authority.expires_at:%Y-%m-%d} ({days} days; a new one is made in time)",
        "",
        "Nothing is installed into the system's trust store. A shell trusts the CA after",
        '  eval "$(wiretape env)"',
        "and a single command when it is started with",
        "  wiretape run -- COMMAND",
        "A client that takes a file with all its roots gets `wiretape ca bundle`, one that adds a root",
        "to its own gets `wiretape ca path`. Where you import it (a Java keystore, a container), do it again",
        "with each new one.",
        "",
        "Whoever can read the key in this folder can pose as any server to the clients that trust the",
        "CA: keep it on this machine. To be rid of it, stop wiretape and delete the folder:",
        f"  rm -r {shlex.quote(str(ca.directory))}",
    ]


def _is_settled(folder: PrivateFolder, now: datetime) -> bool:
    current = _current(folder)
    if current is None or _describe(current).expires_at - now < RENEW_BEFORE:
        return False
    return folder.read(CERTIFICATE_FILE) == _certificate_file(folder, current, now)


def _settle(folder: PrivateFolder, now: datetime) -> None:
    # Looked at again under the lock: another process may have done the work while we waited for it.
    current = _current(folder)
    if current is None or _describe(current).expires_at - now < RENEW_BEFORE:
        if current is not None:
            # Before the key: a crash between the two files must not lose the certificate in use.
            folder.write(CERTIFICATE_FILE, _certificate_file(folder, current, now))
            folder.write(FORMER_KEY_FILE, folder.read(KEY_FILE) or b"")
        # Only who makes a CA pays the 100 ms that this import takes.
        from proxy_cli.certificates import create_authority  # noqa: PLC0415

        # The random part tells two CAs apart: roots of one name and two keys confuse path building.
        made = create_authority(f"wiretape CA {secrets.token_hex(4)}", now=now, valid=LIFETIME)
        folder.write(KEY_FILE, made.key + made.certificate)
        [current] = certificates_in(made.certificate)
    content = _certificate_file(folder, current, now)
    if folder.read(CERTIFICATE_FILE) != content:
        folder.write(CERTIFICATE_FILE, content)


def _certificate_file(folder: PrivateFolder, current: bytes, now: datetime) -> bytes:
    """Return what wiretape-ca.pem should hold: the current certificate, then its living predecessors."""
    listed = certificates_in(folder.read(CERTIFICATE_FILE) or b"")
    former = [other for other in listed if other != current and _is_alive(other, now)]
    return b"".join(map(to_pem, [current, *former]))


def _is_alive(certificate: bytes, now: datetime) -> bool:
    authority = _try_describe(certificate)
    return authority is not None and authority.expires_at > now


def _current(folder: PrivateFolder) -> bytes | None:
    """Return the CA's certificate (DER) from the file that mitmproxy reads, None when there is no file."""
    content = folder.read(KEY_FILE)
    if content is None:
        return None
    certificates = certificates_in(content)
    if not certificates or b" PRIVATE KEY-----" not in content:
        raise StartError(
            f"{folder.path / KEY_FILE}: does not hold a private key and a certificate; "
            "delete the file and a new CA is made"
        )
    return certificates[0]


def _describe(certificate: bytes) -> Authority:
    authority = _try_describe(certificate)
    if authority is None:
        raise StartError(
            f"the certificate in {KEY_FILE} is not that of a CA; delete the file and a new CA is made"
        )
    return authority


def _try_describe(certificate: bytes) -> Authority | None:
    """Read a CA certificate with the standard library alone; None when it is not one.

    `ssl` shows the fields of the certificates that a context trusts, provided that they are CAs.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cadata=certificate)
        [fields] = context.get_ca_certs()
    except (ssl.SSLError, ValueError):
        return None
    expiry = fields["notAfter"]
    digest = hashlib.sha256(certificate).digest()
    return Authority(
        name=_common_name(fields["subject"]),
        fingerprint=digest.hex(":").upper(),
        expires_at=datetime.fromtimestamp(ssl.cert_time_to_seconds(str(expiry)), UTC),
    )


def _common_name(subject: object) -> str:
    """Pick the common name out of ssl's nested tuples, `(((key, value),), ...)`."""
    if isinstance(subject, tuple):
        for (key, value), *_ in subject:
            if key == "commonName":
                return str(value)
    return "CA without a name"
