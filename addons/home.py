"""Where the state of an installation lies."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def home(env: Mapping[str, str]) -> Path:
    """Return where the state lies (socket, CA, journals, log): WIRETAPE_HOME or the platform's folder."""
    named = env.get("WIRETAPE_HOME")
    if named:
        return Path(named).expanduser().absolute()
    from platformdirs import user_state_path  # noqa: PLC0415 - 12 ms that not every caller needs

    return user_state_path("wiretape", appauthor=False)


def journals(home: Path) -> Path:
    """Return the folder of the journals: a folder in it for each session that is open or that a crash left."""
    return home / "journals"
