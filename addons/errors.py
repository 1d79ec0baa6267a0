"""The errors of the proxy and of its command line; each carries the status that the command exits with."""

from __future__ import annotations

from typing import ClassVar


class ProxyError(Exception):
    """The root of the tree; raise one of its children. `str()` is one line for a person."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class ConfigError(ProxyError):
    """A setting is wrong: names it, where it stands, and shows a right value."""

    exit_code = 2


class StartError(ProxyError):
    """The proxy cannot start: a busy port, an unreadable CA."""

    exit_code = 3


class ControlError(ProxyError):
    """The daemon does not run, does not answer, or speaks another version."""

    exit_code = 4
