"""The command line of wiretape and the daemon behind it."""

from __future__ import annotations

__version__ = "0.1.0"
