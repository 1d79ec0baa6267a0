"""Patterns of hosts, as a user writes them: `api.openai.com`, `*.openai.azure.com`, `[::1]:8080`.

Case does not matter, neither does the dot that may end a name; a name with letters beyond ASCII is compared
in its IDNA form, which is how it travels.

- a leading `*.` stands for one label or more: `*.example.com` matches `a.example.com` and `a.b.example.com`,
  not `example.com`;
- any other `*` stays within its label: alone it is one whole label (`runtime.*.amazonaws.com`), beside other
  characters it is any number of characters, also none (`cdn*.example.com` matches `cdn.example.com`);
- `:PORT` binds the pattern to one port; a pattern without a port matches every port.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import AddressValueError, IPv6Address

_LONGEST_NAME = 253  # RFC 1035, section 2.3.4, without the dot of the root
_LABEL = re.compile(r"[a-z0-9_*-]{1,63}")


def normalize_host(host: str) -> str:
    """Return the one spelling of a host that patterns are compared with.

    Lower case, IDNA, no final dot; an IPv6 address compressed and without brackets (RFC 5952). What is no
    host at all comes back in lower case, and matches nothing but itself.
    """
    # Hosts come from clients: nothing long is remembered, or encoded (IDNA takes quadratic time).
    return _normalize(host) if len(host) <= _LONGEST_NAME + 2 else host.lower()


@lru_cache(maxsize=1024)
def _normalize(host: str) -> str:
    host = host.lower()
    if ":" in host or host.startswith("["):
        address = host.removeprefix("[").removesuffix("]")
        try:
            return IPv6Address(address).compressed
        except AddressValueError:
            return host
    host = host.removesuffix(".")
    if not host.isascii():
        try:
            return host.encode("idna").decode("ascii").lower()
        except UnicodeError:
            return host
    return host


@dataclass(frozen=True, slots=True)
class HostPattern:
    """A parsed pattern. Two that are written differently and mean the same are equal."""

    host: str
    """Normalised; may hold `*`."""
    port: int | None = None
    """None matches every port."""
    _expression: re.Pattern[str] | None = field(init=False, repr=False, compare=False, default=None)

    def __post_init__(self) -> None:
        if "*" in self.host:
            object.__setattr__(self, "_expression", re.compile(_expression_of(self.host)))

    @property
    def is_exact(self) -> bool:
        """Whether it names one host."""
        return self._expression is None

    def matches(self, host: str, port: int) -> bool:
        """Tell whether the pattern covers this port and this host, as `normalize_host` gives it."""
        if self.port is not None and self.port != port:
            return False
        if self._expression is None:
            return self.host == host
        return len(host) <= _LONGEST_NAME and self._expression.fullmatch(host) is not None

    def overlaps(self, other: HostPattern) -> bool:
        """Tell whether some host and port may match both.

        Exact when one of the two names one host. Of two patterns with `*` it is a good guess: each is tried
        with the other's text, a `*` in it being taken as a character.
        """
        if self.port is not None and other.port is not None and self.port != other.port:
            return False
        port = self.port or other.port or 443
        here, there = self.host.replace("*", "x"), other.host.replace("*", "x")
        return self.matches(there, port) or other.matches(here, port)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port is None else f"{host}:{self.port}"


def parse(text: str) -> HostPattern:
    """Read a pattern. Raises ValueError with one line that says what is wrong and shows what is right."""
    if not text.strip():
        raise ValueError("a host is missing; give a name such as api.openai.com")
    shown = _shown(text)
    if "://" in text:
        rest = text.partition("://")[2]
        better = re.split(r"[/?#]", rest.rpartition("@")[2], maxsplit=1)[0] or "api.openai.com"
        raise ValueError(f"{shown} is a URL; give the host alone, for example {_shown(better, quote=False)}")
    if re.search(r"\s", text):
        raise ValueError(f"{shown} holds a space; give one host per entry, for example api.openai.com")
    if "/" in text:
        better = text.partition("/")[0] or "api.openai.com"
        raise ValueError(
            f"{shown} holds a path; give the host alone, for example {_shown(better, quote=False)}"
        )
    if "@" in text:
        raise ValueError(f"{shown} holds a user name; give the host alone, for example api.openai.com")
    if "," in text:
        raise ValueError(f"{shown} holds a comma; give one host per entry, for example api.openai.com")
    name, port = _split_port(text, shown)
    host = normalize_host(name)
    if ":" not in host:
        _check_name(host, shown)
    return HostPattern(host, port)


def _split_port(text: str, shown: str) -> tuple[str, int | None]:
    if text.startswith("["):
        name, bracket, rest = text.partition("]")
        if not bracket or ":" not in normalize_host(name) or not _is_ipv6(name[1:]):
            raise ValueError(f"{shown} is no IPv6 address; write it like [::1] or [::1]:8080")
        name = name[1:]
        if not rest:
            return name, None
        if not rest.startswith(":"):
            raise ValueError(f"{shown} has something behind the bracket; write it like [::1]:8080")
        port = rest[1:]
    elif text.count(":") > 1:
        if not _is_ipv6(text):
            raise ValueError(
                f"{shown} has more than one colon; write HOST:PORT like localhost:8080, or [::1]:8080"
            )
        return text, None
    else:
        name, colon, port = text.partition(":")
        if not colon:
            return name, None
    if not (port.isascii() and port.isdecimal() and len(port) <= 5 and 1 <= int(port) <= 65535):
        raise ValueError(
            f"{shown}: {_shown(port)} is no port; give one from 1 to 65535 like localhost:8080,"
            " or none to match every port"
        )
    return name, int(port)


def _check_name(host: str, shown: str) -> None:
    labels = host.split(".")
    if all(set(label) <= {"*"} for label in labels):
        raise ValueError(f"{shown} would cover every host; name the ones you mean, for example *.example.com")
    if "**" in host:
        raise ValueError(f"{shown}: one * is enough, for example *.example.com")
    if len(host) > _LONGEST_NAME or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError(f"{shown} is no host name; write it like api.openai.com or *.example.com")


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Address(text)
    except AddressValueError:
        return False
    return True


def _expression_of(host: str) -> str:
    def label(text: str) -> str:
        return "[^.]+" if text == "*" else "[^.]*".join(re.escape(part) for part in text.split("*"))

    if host.startswith("*."):
        return r".+\." + r"\.".join(label(part) for part in host[2:].split("."))
    return r"\.".join(label(part) for part in host.split("."))


def _shown(text: str, *, quote: bool = True) -> str:
    """Show what the user wrote on one line and no longer than that, without the password it may hold."""
    text = re.sub(r"(//)?[^/]*@", r"\1", text)
    text = text if len(text) <= 80 else text[:77] + "..."
    return repr(text) if quote else text
