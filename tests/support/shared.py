"""The folder `shared` beside the repository: real cassettes and vectors that are not part of the project."""

from __future__ import annotations

from pathlib import Path

import pytest

_SIBLING = Path(__file__).resolve().parents[2].parent / "shared"

SHARED: Path | None = _SIBLING if (_SIBLING / "corpus").is_dir() else None
"""Where it is, or None where the repository was cloned alone."""

needs_shared = pytest.mark.skipif(
    SHARED is None, reason="no folder `shared` with real cassettes beside the repository"
)


def corpus_cassettes() -> list[Path]:
    """List the real cassettes, in a fixed order; empty where there are none."""
    return [] if SHARED is None else sorted((SHARED / "corpus").rglob("*.yaml"))
