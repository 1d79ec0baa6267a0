"""The hosts that NO_PROXY names: they are reached directly, past the proxy that the environment names.

Pure. What entries mean differs from program to program; here, as in Go and curl: a name covers itself and what is
below it, with a leading dot or without; an address covers itself, `10.0.0.0/8` a network; `:PORT` binds an entry to
one port; `*` covers everything. What is none of these covers nothing.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from cassette.hostpattern import normalize_host

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class _Entry:
    host: str
    """Normalised, without a leading dot; `*` for any."""
    port: int | None
    network: _Network | None

    def covers(
        self, host: str, port: int, address: ipaddress.IPv4Address | ipaddress.IPv6Address | None
    ) -> bool:
        if self.port not in (None, port):
            return False
        if address is not None:
            return self.host == "*" or (self.network is not None and address in self.network)
        return self.host in ("*", host) or host.endswith(f".{self.host}")


@dataclass(frozen=True, slots=True)
class NoProxy:
    """A list of exceptions. This machine itself is always one, as in Go: no proxy elsewhere leads back here."""

    entries: tuple[_Entry, ...] = ()

    def covers(self, host: str, port: int) -> bool:
        """Tell whether this host and port is to be reached directly."""
        name = normalize_host(host)
        address = _address(name)
        if name == "localhost" or (address is not None and address.is_loopback):
            return True
        return any(entry.covers(name, port, address) for entry in self.entries)


def parse_no_proxy(text: str) -> NoProxy:
    """Read a list with commas; entries that make no sense are passed over, as every program does."""
    entries = (_entry(part.strip()) for part in text.split(",") if part.strip())
    return NoProxy(tuple(entry for entry in entries if entry.host))


def _entry(text: str) -> _Entry:
    try:
        return _Entry(text, None, ipaddress.ip_network(text, strict=False))
    except ValueError:
        pass
    host, colon, port = text.rpartition(":")
    number = int(port) if colon and port.isascii() and port.isdecimal() and len(port) <= 5 else None
    name = normalize_host(text if number is None else host)
    address = _address(name)
    network = ipaddress.ip_network(address) if address is not None else None
    return _Entry(name.removeprefix("*." if name.startswith("*.") else "."), number, network)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
