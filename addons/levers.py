"""Levers: patches that change nothing but the time it takes. Each can be left out, to find out whether it is to blame.

WIRETAPE_WITHOUT=hooks,relay      without these two
WIRETAPE_WITHOUT=all              mitmproxy's own ways everywhere
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

VARIABLE = "WIRETAPE_WITHOUT"
ALL = "all"
ASSERTS = "asserts"
"""The worker runs as `python -O`, without the assertions of mitmproxy's layers. Measured: 15 % less CPU per request."""
NAMES = (ASSERTS, "hooks", "cork", "reading", "relay", "frames")


@dataclass(frozen=True, slots=True)
class Lever:
    """One that patches mitmproxy. `pull` raises AttributeError or TypeError where mitmproxy is not as expected."""

    name: str
    what: str
    pull: Callable[[], None]


def is_wanted(name: str) -> bool:
    """Tell whether a lever was not left out, by the environment that the proxy was started in."""
    left_out = {part.strip() for part in os.environ.get(VARIABLE, "").split(",")}
    return name not in left_out and ALL not in left_out


def interpreter_options() -> list[str]:
    """Return what the worker's interpreter is to be started with."""
    return ["-O"] if is_wanted(ASSERTS) else []
