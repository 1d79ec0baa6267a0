"""Where the state of an installation lies: one folder, `WIRETAPE_HOME`."""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from addons import home

_LONGEST_SOCKET = 100
"""A Unix socket's path has at most 104 bytes on macOS and 108 on Linux (sys/un.h), its end included."""


@dataclass(frozen=True, slots=True)
class Places:
    """The files below a home; all of them private."""

    home: Path

    @property
    def journals(self) -> Path:
        """One folder per session that is open or that a crash left."""
        return home.journals(self.home)

    @property
    def log(self) -> Path:
        """The daemon's log; its worker's and its scribe's lines stand in it too."""
        return self.home / "daemon.log"

    @property
    def lock(self) -> Path:
        """Held by the daemon for as long as it lives."""
        return self.home / "daemon.lock"

    @property
    def socket(self) -> Path:
        """The control socket, in the temporary folder when the home's path is too long for a socket."""
        path = self.home / "control.sock"
        if len(os.fsencode(path)) <= _LONGEST_SOCKET:
            return path
        digest = hashlib.sha256(os.fsencode(self.home)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"wiretape-{os.getuid()}-{digest}" / "control.sock"
