"""The format library: read, check and write go-vcr cassettes. No mitmproxy, no click, no asyncio.

    import cassette

    recorded = cassette.load("cassettes/chat.yaml")
    for interaction in recorded.interactions:
        print(interaction.request.url, interaction.response.code)
    assert cassette.dumps(recorded) == open("cassettes/chat.yaml", "rb").read()

The names are looked up when they are first used: the command line imports parts of this package in a hundredth of
the time that the YAML library takes.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cassette.codec import dumps, loads
    from cassette.errors import CassetteError, FormatError, StoreError, UnsupportedVersionError
    from cassette.model import Cassette, Interaction, Layout, Request, Response
    from cassette.store import load

__all__ = [
    "Cassette",
    "CassetteError",
    "FormatError",
    "Interaction",
    "Layout",
    "Request",
    "Response",
    "StoreError",
    "UnsupportedVersionError",
    "dumps",
    "load",
    "loads",
]

_HOMES = {
    "cassette.codec": ("dumps", "loads"),
    "cassette.errors": ("CassetteError", "FormatError", "StoreError", "UnsupportedVersionError"),
    "cassette.model": ("Cassette", "Interaction", "Layout", "Request", "Response"),
    "cassette.store": ("load",),
}


def __getattr__(name: str) -> object:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(home), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
