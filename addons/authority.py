"""Which CA the leaves are signed with, in a proxy that runs for longer than the CA lives.

Its successor lies in the folder, and in the files that clients read, for weeks before (`proxy_cli.ca`). The proxy
changes over as late as it can: clients that started before the successor was made know the old one alone.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mitmproxy.certs import CertStore

from addons.ca_files import BASENAME, CHANGE_BEFORE, FORMER

_log = logging.getLogger(__name__)

KEY_BITS = 2048
"""Of the leaves' RSA keys; mitmproxy's default for `key_size`."""
_LOOK_AGAIN = timedelta(minutes=1)


def remove_links(folder: Path) -> None:
    """Remove symbolic links that mitmproxy would write through: it makes its Diffie-Hellman file where none is."""
    for name in (BASENAME, FORMER):
        path = folder / f"{name}-dhparam.pem"
        if path.is_symlink():
            path.unlink()


class Succession:
    """Watches the CA of one folder come to its end."""

    def __init__(self) -> None:
        self._looked_at = datetime.min.replace(tzinfo=UTC)
        self._has_begun = False

    def turn(self, store: CertStore, folder: Path, now: datetime) -> CertStore:
        """Return the store to sign with; the same one most of the time.

        A proxy that starts while a CA and its successor live begins with the former: clients that started before
        the renewal know that one alone.
        """
        if not self._has_begun:
            self._has_begun = True
            former = self._usable(folder, FORMER)
            if former is not None and former.default_ca.notafter - now > CHANGE_BEFORE:
                return former
        return self.successor(store, folder, now) or store

    def successor(self, store: CertStore, folder: Path, now: datetime) -> CertStore | None:
        """Return the store with the next CA once the present one is about to expire; None as long as it is not.

        Costs a comparison of two times then. A folder without a usable successor leaves things as they are.
        """
        if store.default_ca.notafter - now > CHANGE_BEFORE or now - self._looked_at < _LOOK_AGAIN:
            return None
        self._looked_at = now
        found = self._usable(folder, BASENAME)
        if found is None or found.default_ca.notafter <= store.default_ca.notafter:
            return None
        _log.info("ca.changed expires=%s", found.default_ca.notafter.date())
        return found

    @staticmethod
    def _usable(folder: Path, basename: str) -> CertStore | None:
        # `from_store` would make a CA of mitmproxy's own where there is none.
        if not (folder / f"{basename}-ca.pem").is_file():
            return None
        try:
            return CertStore.from_store(folder, basename, KEY_BITS)
        except (OSError, ValueError) as exc:
            _log.error("ca.unusable file=%s-ca.pem reason=%s", basename, type(exc).__name__)
            return None
