"""A session's description on its way from the daemon to a worker: plain JSON, over a pipe, never on disk.

An upstream proxy's password is in it, which is why the scribe's `session.json` is another thing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from addons.live import SessionSpec
from addons.routing import parse_connect_to, parse_upstream_proxy
from addons.settings import router_table
from cassette.headerfilter import HeaderPolicy


def spec_from_json(values: dict[str, Any]) -> SessionSpec:
    """Build the description; ConfigError when a pattern in it is wrong."""
    proxy = values["upstream_proxy"]
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
    )
