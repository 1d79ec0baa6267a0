"""A session's description on its way from the daemon to a worker: plain JSON, over a pipe, never on disk.

Passwords are in it, an upstream proxy's and the listener's, which is why the scribe's `session.json` is another
thing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from addons.access import LOOPBACK, parse_listen, parse_login, require_login
from addons.errors import ConfigError
from addons.live import PortUse, ReplaySpec, SessionSpec
from addons.no_proxy import parse_no_proxy
from addons.reverse import parse_reverse
from addons.routing import parse_connect_to, parse_upstream_proxy
from addons.settings import router_table
from cassette.headerfilter import HeaderPolicy
from cassette.matchrules import MatchRules


def _replay_spec(values: dict[str, Any]) -> ReplaySpec:
    return ReplaySpec(
        cassette=Path(values["cassette"]),
        sealed=values["sealed"],
        refuses_others=values["unlisted"] == "refuse",
        repeat=values["repeat"],
        factor=values["factor"],
        compresses=values["compress"],
        match=MatchRules.from_json(values["match"]),
        claims=Path(values["claims"]) if values.get("claims") else None,
    )


def spec_from_json(values: dict[str, Any]) -> SessionSpec:
    """Build the description; ConfigError when a pattern in it is wrong, or others could use the listener."""
    proxy, no_proxy = values["upstream_proxy"], values.get("no_proxy")
    listen = parse_listen(values.get("listen", LOOPBACK))
    login = parse_login(values["login"]) if values.get("login") else None
    require_login(listen, login)
    reverse = tuple(parse_reverse(text) for text in values.get("reverse", ()))
    if reverse and login is not None:
        raise ConfigError("clients of a base URL cannot log in")
    return SessionSpec(
        name=values["name"],
        directory=Path(values["directory"]) if values["directory"] else None,
        port=values["port"],
        headers=HeaderPolicy.from_json(values["headers"]),
        routers=router_table(values["hosts"], values["never_decrypt"]),
        max_body=values["max_body"],
        trusted_ca=Path(values["trusted_ca"]) if values["trusted_ca"] else None,
        connect_to=tuple(parse_connect_to(text) for text in values["connect_to"]),
        upstream_proxy=parse_upstream_proxy(proxy) if proxy else None,
        no_proxy=parse_no_proxy(no_proxy) if no_proxy is not None else None,
        client_cert=Path(values["client_cert"]) if values.get("client_cert") else None,
        replay=_replay_spec(values["replay"]) if values["replay"] else None,
        blocks=values.get("blocks", False),
        listen=listen,
        port_use=PortUse(values.get("port_use", "alone")),
        reverse=reverse,
        login=login,
        takes_over=values.get("takes_over", False),
    )
