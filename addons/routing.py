"""Which connections are recorded and where they lead: routers, `--connect-to`, a proxy upstream.

Pure: no socket, no file, no mitmproxy. The order in which a host is judged:

    named by the user in full (`--host api.example.com`)      recorded, whatever the lists say
    on the never-decrypt list                                 tunnelled
    covered by a pattern of the user's (`--host '*.ai.corp'`) recorded
    a listed router                                           recorded, as far as its paths go
    anything else                                             tunnelled, untouched
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import quote, unquote, urlsplit

from addons.errors import ConfigError
from cassette import hostpattern
from cassette.hostpattern import HostPattern, normalize_host

__all__ = [
    "NO_UPSTREAM_PROXY",
    "ConnectTo",
    "HostPattern",
    "Router",
    "RouterTable",
    "UpstreamProxy",
    "parse_connect_to",
    "parse_host_pattern",
    "parse_upstream_proxy",
    "redirect",
]

# Hosts are chosen by clients, so what is remembered about them is bounded.
_MOST_HOSTS = 1024
_LONGEST_HOST = 255


def parse_host_pattern(text: str) -> HostPattern:
    """Read a host pattern (`cassette.hostpattern` says what it may hold).

    Raises ConfigError, one line that says what is wrong and shows what is right.
    """
    try:
        return hostpattern.parse(text)
    except ValueError as exc:
        raise ConfigError(str(exc)) from exc


@dataclass(frozen=True, slots=True)
class Router:
    """A host, or a family of hosts, that serves inference."""

    pattern: HostPattern
    provider: str = ""
    """For people; empty for a host that the user named."""
    credentials: tuple[str, ...] = ()
    """Where its credentials are: names of headers, `?NAME` for a key in the query."""
    paths: tuple[str, ...] = ()
    """What is recorded of it, all if empty. Each begins a path and ends with a whole segment; `*` is one."""
    _path: re.Pattern[str] | None = field(init=False, repr=False, compare=False, default=None)

    def __post_init__(self) -> None:
        if self.paths:
            alternatives = "|".join(_path_expression(path) for path in self.paths)
            object.__setattr__(self, "_path", re.compile(alternatives))

    def records_path(self, path: str) -> bool:
        """Tell whether a request for this path (a query may follow it) belongs to the router's API."""
        return self._path is None or self._path.match(path) is not None


def _path_expression(path: str) -> str:
    prefix = "[^/?#]+".join(re.escape(part) for part in path.split("*"))
    # Not `/v10` for `/v1`, but `/v1/models`, `/v1?x=y` and Google's `/v1:countTokens`.
    return prefix if path.endswith("/") else prefix + r"(?![^/?#:])"


class RouterTable:
    """The routers, the user's own hosts and the hosts that are never decrypted, ready to be asked."""

    def __init__(
        self,
        routers: Iterable[Router],
        hosts: Iterable[HostPattern] = (),
        never_decrypt: Iterable[HostPattern] = (),
    ) -> None:
        own = [Router(pattern) for pattern in hosts]
        # A stable sort: full names before patterns, those with a port before those without.
        by_precision = sorted(routers, key=lambda r: (not r.pattern.is_exact, r.pattern.port is None))
        self.routers = tuple(by_precision)
        self.never_decrypt = tuple(never_decrypt)
        self._named = tuple(router for router in own if router.pattern.is_exact)
        self._otherwise = (*(router for router in own if not router.pattern.is_exact), *by_precision)
        self._found: dict[tuple[str, int], Router | None] = {}

    def find(self, host: str, port: int) -> Router | None:
        """Return the router behind this host and port, None for one whose traffic is not looked at."""
        key = (host, port)
        try:
            return self._found[key]
        except KeyError:
            router = self._find(normalize_host(host), port)
        if len(host) <= _LONGEST_HOST:
            if len(self._found) >= _MOST_HOSTS:
                self._found.clear()
            self._found[key] = router
        return router

    def with_hosts(self, hosts: Iterable[tuple[str, int]]) -> RouterTable:
        """Return a table that covers these hosts and ports too, as if the user had named them in full.

        What is no host is left out.
        """
        more = RouterTable((), (), self.never_decrypt)
        more.routers = self.routers
        added = [
            Router(HostPattern(normalize_host(host), port))
            for host, port in hosts
            if host and "*" not in host
        ]
        more._named = (
            *self._named,
            *(one for one in added if self.find(one.pattern.host, one.pattern.port or 0) is None),
        )
        more._otherwise = self._otherwise
        return more

    def records_path(self, router: Router, path: str) -> bool:
        """Tell whether a request to `router` for this path is recorded."""
        return router.records_path(path)

    def covers(self, pattern: HostPattern) -> bool:
        """Tell whether some host that is recorded may match `pattern`."""
        return any(router.pattern.overlaps(pattern) for router in (*self._named, *self._otherwise))

    def _find(self, host: str, port: int) -> Router | None:
        for router in self._named:
            if router.pattern.matches(host, port):
                return router
        if any(pattern.matches(host, port) for pattern in self.never_decrypt):
            return None
        for router in self._otherwise:
            if router.pattern.matches(host, port):
                return router
        return None


@dataclass(frozen=True, slots=True)
class ConnectTo:
    """One `--connect-to HOST:PORT:ADDR:PORT`, with curl's meaning: only the connection goes elsewhere."""

    host: str
    """Normalised; empty for any."""
    port: int | None
    """None for any."""
    to_host: str
    """Empty: the one that was asked for."""
    to_port: int | None
    """None: the one that was asked for."""

    def redirect(self, host: str, port: int) -> tuple[str, int] | None:
        """Return where to connect instead, None when this rule is about another host or port."""
        if self.port not in (None, port) or (self.host and self.host != normalize_host(host)):
            return None
        return self.to_host or host, self.to_port or port

    def __str__(self) -> str:
        host, to_host = (f"[{h}]" if ":" in h else h for h in (self.host, self.to_host))
        return f"{host}:{self.port or ''}:{to_host}:{self.to_port or ''}"


_CONNECT_TO = re.compile(r"(\[[^\]]*\]|[^:\[\]]*):(\d*):(\[[^\]]*\]|[^:\[\]]*):(\d*)", re.ASCII)


def parse_connect_to(text: str) -> ConnectTo:
    """Read `HOST:PORT:ADDR:PORT`; an IPv6 address stands in brackets; each part may be empty.

    Raises ConfigError, one line with a right example.
    """
    example = "write HOST:PORT:ADDR:PORT like api.openai.com:443:127.0.0.1:8443"
    parts = _CONNECT_TO.fullmatch(text)
    if parts is None or re.search(r"\s", text):
        raise ConfigError(f"{text!r} does not have four parts with numbers for ports; {example}")
    host, port, to_host, to_port = parts.groups()
    for number in (port, to_port):
        if number and not 1 <= int(number[:6]) <= 65535:
            raise ConfigError(f"{text!r}: {number[:20]} is no port from 1 to 65535; {example}")
    if not to_host and not to_port:
        raise ConfigError(f"{text!r} leads nowhere else; {example}")
    for name in (host, to_host):
        if "*" in name:
            raise ConfigError(f"{text!r} holds a *; leave HOST empty for any host, like :443:127.0.0.1:8443")
        if name:
            _parse_plain_host(name, text, example)
    return ConnectTo(
        normalize_host(host),
        int(port) if port else None,
        normalize_host(to_host),
        int(to_port) if to_port else None,
    )


def _parse_plain_host(name: str, text: str, example: str) -> None:
    try:
        hostpattern.parse(name)
    except ValueError as exc:
        raise ConfigError(f"{text!r}: {name!r} is no host; {example}") from exc


def redirect(rules: Iterable[ConnectTo], host: str, port: int) -> tuple[str, int] | None:
    """Return where the first rule that applies leads, None when none does."""
    for rule in rules:
        target = rule.redirect(host, port)
        if target is not None:
            return target
    return None


@dataclass(frozen=True, slots=True)
class UpstreamProxy:
    """A proxy between us and every upstream. Its password shows in no `repr` and no `str`."""

    scheme: Literal["http", "https"]
    """How the proxy itself is spoken to."""
    host: str
    port: int
    credentials: str | None = field(default=None, repr=False)
    """`user:password`, decoded."""

    @property
    def spec(self) -> tuple[Literal["http", "https"], tuple[str, int]]:
        """Scheme and address, as mitmproxy's `Server.via` holds them."""
        return self.scheme, (self.host, self.port)

    @property
    def address(self) -> str:
        """`scheme://host:port`."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    @property
    def url(self) -> str:
        """The address with the credentials, as `parse_upstream_proxy` reads it; for no eye to see."""
        if self.credentials is None:
            return self.address
        user, colon, password = self.credentials.partition(":")
        login = quote(user, safe="") + colon + quote(password, safe="")
        return self.address.replace("://", f"://{login}@", 1)

    def __str__(self) -> str:
        return self.address


NO_UPSTREAM_PROXY: Literal["none"] = "none"
"""Says that upstreams are reached directly, whatever the environment names."""


def parse_upstream_proxy(text: str) -> UpstreamProxy:
    """Read `http://[user:password@]host[:port]`, or the same with `https`; the ports default to 80 and 443.

    Raises ConfigError, one line with a right example and without the password.
    """
    example = "write it like http://proxy.example.com:3128"
    try:
        parts = urlsplit(text.strip())
        port = parts.port
    except ValueError:
        raise ConfigError(f"the proxy's URL has a wrong port or address; {example}") from None
    scheme = parts.scheme
    if not parts.netloc or scheme not in ("http", "https"):
        what = f"a proxy over {scheme} is not supported" if parts.netloc else "the proxy is not a URL"
        raise ConfigError(f"{what}; {example}")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ConfigError(f"the proxy's URL has something behind the port; {example}")
    try:
        host = hostpattern.parse(
            f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
        )
    except ValueError:
        raise ConfigError(f"the proxy's URL has no host, or a wrong one; {example}") from None
    if not host.is_exact or port == 0:
        raise ConfigError(f"the proxy's URL needs one host and a port from 1 to 65535; {example}")
    user_information = parts.netloc.rpartition("@")[0]
    return UpstreamProxy(
        "https" if scheme == "https" else "http",
        host.host,
        port or (443 if scheme == "https" else 80),
        unquote(user_information) if user_information else None,
    )
