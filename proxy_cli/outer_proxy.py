"""The proxy that was there before us: HTTPS_PROXY and NO_PROXY of whoever opens a session.

Where `wiretape env` was evaluated, or inside `wiretape run`, HTTPS_PROXY is a listener of ours. It is known by
WIRETAPE_PROXY, which is set beside it, and what HTTPS_PROXY was before is kept (`proxy_cli.env_undo`). The environment
is passed in.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from addons.errors import ConfigError
from addons.routing import NO_UPSTREAM_PROXY, UpstreamProxy, parse_upstream_proxy
from cassette.hostpattern import normalize_host
from proxy_cli.env_undo import saved

LISTENER_VARIABLE = "WIRETAPE_PROXY"
"""The address that a client was given as its proxy, without a login."""
_NAMES = ("https_proxy", "HTTPS_PROXY")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class OuterProxy:
    """How a session reaches its upstreams when nothing but the environment says so."""

    url: str = field(default=NO_UPSTREAM_PROXY, repr=False)
    """With its password, as a session request has it; `none` for none."""
    no_proxy: str | None = None
    """The exceptions; None without a proxy."""
    unusable: str = ""
    """Why a proxy that is named cannot be used, for a person; empty when there is nothing to say."""


def outer_proxy(env: Mapping[str, str], listeners: Collection[tuple[str, int]] = ()) -> OuterProxy:
    """Return the proxy that `env` names, never one of our own; `listeners` are the addresses of open sessions."""
    name, text = _named(env, listeners)
    if not text:
        return OuterProxy()
    try:
        proxy = _parse(text)
    except ConfigError as exc:
        return OuterProxy(unusable=f"{name} is not used: {exc}; to say nothing of it: --upstream-proxy none")
    exceptions = ",".join(filter(None, (env.get(name, "") for name in ("no_proxy", "NO_PROXY"))))
    return OuterProxy(proxy.url, exceptions)


def listener_variable(listener: str) -> dict[str, str]:
    """Return what tells programs that are started inside which proxy is ours: the listener's URL without its login."""
    return {LISTENER_VARIABLE: parse_upstream_proxy(listener).address}


def _named(env: Mapping[str, str], listeners: Collection[tuple[str, int]]) -> tuple[str, str]:
    """Return the variable that counts and its value, nothing where that is empty or ours."""
    for values in (env, saved(env)):
        name = next((name for name in _NAMES if (values.get(name) or "").strip()), "")
        text = (values.get(name) or "").strip()
        if not (text and _is_ours(text, env, listeners)):
            return name, text
    return "", ""


def _is_ours(text: str, env: Mapping[str, str], listeners: Collection[tuple[str, int]]) -> bool:
    try:
        proxy = _parse(text)
    except ConfigError:
        return False
    return proxy.address == env.get(LISTENER_VARIABLE) or any(
        port == proxy.port and (proxy.host in _LOOPBACK or normalize_host(host) == proxy.host)
        for host, port in listeners
    )


def _parse(text: str) -> UpstreamProxy:
    # `proxy.example.com:3128` is how many write it; curl and Go take it for http.
    return parse_upstream_proxy(text if "://" in text else f"http://{text}")
