"""Base URLs: listeners that stand for one upstream each, for clients that know no proxy. Pure.

https://api.openai.com              GET /v1/models            ─▶ https://api.openai.com/v1/models
8001=https://openrouter.ai/api/v1   POST /chat/completions    ─▶ https://openrouter.ai/api/v1/chat/completions
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal
from urllib.parse import urlsplit

from addons.errors import ConfigError
from cassette import hostpattern

_PORTS = {"http": 80, "https": 443}
_EXAMPLE = (
    "write it like https://api.openai.com, or with a port to listen on, 8001=https://openrouter.ai/api/v1"
)


@dataclass(frozen=True, slots=True)
class Reverse:
    """One listener and where its requests go."""

    scheme: Literal["http", "https"]
    host: str
    """Normalised; an IPv6 address without brackets."""
    port: int
    path: str = ""
    """What is put in front of every request's path; it begins with a slash and does not end with one."""
    listen_port: int = 0
    """0 for a free one."""

    @property
    def authority(self) -> str:
        """What the Host header says: the port only where it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The upstream, without a final slash."""
        return f"{self.scheme}://{self.authority}{self.path}"

    def at(self, listen_port: int) -> Reverse:
        """Return the same with a port to listen on."""
        return replace(self, listen_port=listen_port)

    def path_of(self, target: str) -> str:
        """Return the path at the upstream, query included, of a request for the path `target` at the listener."""
        return target if target == "*" else self.path + (target if target.startswith("/") else f"/{target}")

    def __str__(self) -> str:
        return f"{self.listen_port}={self.url}" if self.listen_port else self.url


def parse_reverse(text: str) -> Reverse:
    """Read `URL` or `PORT=URL`; raises ConfigError, one line with a right example."""
    port, rest = re.fullmatch(r"(?:(\d{1,5})=)?(.*)", text.strip(), re.ASCII | re.DOTALL).groups()  # type: ignore[union-attr]
    try:
        parts = urlsplit(rest)
        upstream_port = parts.port
    except ValueError:
        raise ConfigError(f"the upstream's URL has a wrong port or address; {_EXAMPLE}") from None
    if parts.scheme not in _PORTS or not parts.netloc:
        raise ConfigError(f"an upstream is a URL with http or https; {_EXAMPLE}")
    if "@" in parts.netloc or parts.query or parts.fragment or re.search(r"\s", rest):
        raise ConfigError(f"the upstream's URL is to hold host, port and path and nothing else; {_EXAMPLE}")
    listen_port = int(port or 0)
    if upstream_port == 0 or listen_port > 65535 or (port and not listen_port):
        raise ConfigError(f"a port is a number from 1 to 65535; {_EXAMPLE}")
    name = parts.hostname or ""
    try:
        host = hostpattern.parse(f"[{name}]" if ":" in name else name)
    except ValueError:
        raise ConfigError(f"the upstream's URL has no host, or a wrong one; {_EXAMPLE}") from None
    if not host.is_exact:
        raise ConfigError(f"an upstream is one host, without *; {_EXAMPLE}")
    scheme: Literal["http", "https"] = "https" if parts.scheme == "https" else "http"
    return Reverse(scheme, host.host, upstream_port or _PORTS[scheme], parts.path.rstrip("/"), listen_port)
