"""The errors of the format library.

What happens to *traffic* (a client that left, an upstream that reset) is data, `exchange.Outcome`;
errors are for files that are wrong and for disks that refuse.
"""

from __future__ import annotations

from pathlib import Path


class CassetteError(Exception):
    """The root of the tree; raise one of its children.

    `path` is the file concerned, when one is known; it stands before the message in `str()`.
    """

    def __init__(self, message: str, *, path: Path | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.path = path

    def __str__(self) -> str:
        """Return the message with the file before it."""
        return f"{self.path}: {self.message}" if self.path is not None else self.message


class FormatError(CassetteError):
    """The file is not a cassette; `line` (from 1) is where, when it is known."""

    def __init__(self, message: str, *, path: Path | None = None, line: int | None = None) -> None:
        super().__init__(f"line {line}: {message}" if line is not None else message, path=path)
        self.line = line


class UnsupportedVersionError(FormatError):
    """The file is a cassette of a version other than 2."""


class JournalCorruptError(CassetteError):
    """The journal does not hold what it held: a part of it is gone, broken, or of another version."""


class StoreError(CassetteError):
    """The disk refused: full, no permission, locked by another process, no such folder."""
