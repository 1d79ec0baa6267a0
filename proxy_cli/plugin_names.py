"""What the pytest plugin calls things: a test's cassette, its session, its mode. Pure, and light to import."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

MODES = ("record-only", "record-once", "replay-only", "replay-with-new-episodes", "passthrough")
"""As `addons.settings.Mode` has them, which is not light."""

_LONGEST_STEM = 120
"""A file's name has 255 bytes at most, and others are made of a cassette's. Chosen, not measured."""
_LONGEST_NAME = 64
"""Of a session (proxy_cli.registry)."""
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


def default_mode(env: Mapping[str, str]) -> str:
    """Return what is done when nobody says: record what is new, and under CI (the variable) nothing ever."""
    is_ci = env.get("CI", "").strip().lower() not in ("", "0", "false")
    return "replay-only" if is_ci else "record-once"


def name_within_file(node_id: str, name: str) -> str:
    """Return a test's name within its file, `TestChat::test_greets[en]`; `name` where pytest has no such thing."""
    return node_id.partition("::")[2] or name


def cassette_stem(test: str) -> str:
    """Return a file's name, without suffix, for a test of a module: no two tests have the same.

    `TestChat::test_greets[en]` becomes `TestChat.test_greets-en`. A checksum is added where characters had to be
    replaced or cut. A test that is called like a plain one with parameters cannot be: names of functions have no
    dash.
    """
    place, bracket, parameters = test.partition("[")
    plain = place.replace("::", ".")
    if bracket:
        plain += f"-{parameters.removesuffix(']')}"
    stem = _UNSAFE.sub("_", plain)[:_LONGEST_STEM]
    if stem == plain and parameters != "]" and not stem.startswith("."):
        return stem
    return f"{stem.strip('._-')}-{hashlib.sha256(test.encode(errors='replace')).hexdigest()[:8]}"


def cassette_path(test_file: Path, test: str, root: Path, folder: str) -> Path:
    """Return where a test's cassette lies.

    `cassettes/MODULE/TEST.yaml` beside the test's file; with a folder of the user's, which is relative to pytest's
    root, below that one, where the folders of the tests are repeated so that modules of one name stay apart.
    """
    stem = cassette_stem(test)
    if not folder:
        return test_file.parent / "cassettes" / test_file.stem / f"{stem}.yaml"
    try:
        within = test_file.parent.relative_to(root)
    except ValueError:  # collected from outside of the root
        within = Path()
    return root / Path(folder).expanduser() / within / test_file.stem / f"{stem}.yaml"


def session_name(test_file: Path, test: str, suffix: str) -> str:
    """Return a name that a session can have and people recognise; what is in `suffix` makes it the only one."""
    readable = _UNSAFE.sub("-", f"{test_file.stem}.{test}").strip("._-") or "test"
    return f"{readable[: _LONGEST_NAME - len(suffix) - 1].rstrip('._-')}-{suffix}"
