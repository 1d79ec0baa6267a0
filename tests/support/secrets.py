"""Made-up credentials, and a search for them in everything that a session leaves behind."""

from __future__ import annotations

import base64
import gzip
import json
import secrets
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote


def made_up(prefix: str = "") -> str:
    """Return a value that stands nowhere else; never a literal, which would look like somebody's key."""
    return prefix + secrets.token_hex(24)


def places_with(value: str, folders: Iterable[Path]) -> list[str]:
    """List the files below some folders in which a value stands, plainly or in a usual coding."""
    forms = {
        value.encode(),
        quote(value, safe="").encode(),
        json.dumps(value)[1:-1].encode(),
        base64.b64encode(value.encode()).rstrip(b"="),
    }
    found = []
    for folder in folders:
        for path in sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()):
            data = path.read_bytes()
            if data[:2] == b"\x1f\x8b":
                data += gzip.decompress(data)
            if any(form in data for form in forms):
                found.append(str(path))
    return found
