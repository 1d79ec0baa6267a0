"""Who may use a listener: everybody on this machine, or those who log in. Pure, and without mitmproxy."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

from addons.errors import ConfigError

LOOPBACK = "127.0.0.1"
_LOGIN = re.compile(r"[^\x00-\x1f\x7f:]+:[^\x00-\x1f\x7f]+")
"""RFC 7617, section 2: no control characters, and no colon in the user's name."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where something listens: a host and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Login:
    """A name and a password that clients of a listener have to know. The password shows in no `repr`."""

    user: str
    password: str = field(repr=False)

    @property
    def text(self) -> str:
        """`USER:PASSWORD`, as `parse_login` reads it; for no eye to see."""
        return f"{self.user}:{self.password}"

    @property
    def in_url(self) -> str:
        """The same, percent-encoded as a URL's user information (RFC 3986, 3.2.1); for no eye to see."""
        return f"{quote(self.user, safe='')}:{quote(self.password, safe='')}"

    def allows(self, fields: Sequence[str]) -> bool:
        """Tell whether these values of Proxy-Authorization log in: it must be one, of the scheme Basic.

        How long it takes does not depend on how much of the password is right.
        """
        given = _basic(fields)
        if given is None:
            return False
        # Digests have one length: comparing the texts would tell the password's.
        wanted = hashlib.sha256(self.text.encode()).digest()
        return hmac.compare_digest(hashlib.sha256(given).digest(), wanted)


def user_of(fields: Sequence[str]) -> str | None:
    """Return the user that these values of Proxy-Authorization name, None when they name none."""
    given = _basic(fields)
    return given.decode(errors="replace").partition(":")[0] if given is not None else None


def _basic(fields: Sequence[str]) -> bytes | None:
    """Return what stands behind the scheme Basic, decoded; None for anything else, and for more than one value."""
    if len(fields) != 1:
        return None
    scheme, _, encoded = fields[0].strip().partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        return base64.b64decode(encoded.strip(), validate=True)
    except (binascii.Error, ValueError):
        return None


def parse_login(text: str) -> Login:
    """Read `USER:PASSWORD`; raises ConfigError, which does not show what it was given."""
    if not _LOGIN.fullmatch(text) or not text.isprintable():
        raise ConfigError("expected a name, a colon and a password, like me:a-long-word")
    user, _, password = text.partition(":")
    return Login(user, password)


def parse_listen(text: str) -> str:
    """Read the address to listen on: an IP address, with or without brackets, or `localhost`; ConfigError else."""
    name = text.strip()
    if name.lower() == "localhost":
        return LOOPBACK
    if name.startswith("[") and name.endswith("]"):
        name = name[1:-1]
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        raise ConfigError(
            f"{text!r:.60} is not an address to listen on; write an IP address like 127.0.0.1, ::1 or"
            " 192.0.2.7, and the port with --port"
        ) from None


def is_loopback(address: str) -> bool:
    """Tell whether only this machine can reach an address, of either family."""
    parsed = ipaddress.ip_address(address)
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return (mapped or parsed).is_loopback


def require_login(address: str, login: Login | None) -> None:
    """Raise ConfigError where others could reach the listener and would not have to log in."""
    if login is None and not is_loopback(address):
        raise ConfigError(
            f"everybody who reaches {address} could use the proxy; set WIRETAPE_PROXY_AUTH=USER:PASSWORD"
            f" (or --proxy-auth), or listen on {LOOPBACK}"
        )


def proxy_url(address: str, port: int, login: Login | None = None) -> str:
    """Return the URL under which a client on this machine finds a listener.

    For one on all addresses that is the loopback's. With a login it is for clients only, not to be shown.
    """
    parsed = ipaddress.ip_address(address)
    if parsed.is_unspecified:
        address = LOOPBACK if parsed.version == 4 else "::1"
    host = f"[{address}]" if ":" in address else address
    user = f"{login.in_url}@" if login is not None else ""
    return f"http://{user}{host}:{port}"
