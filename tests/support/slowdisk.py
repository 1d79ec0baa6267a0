"""A proxy worker on a disk that takes its time: every new segment of a journal waits while a file is there.

The worker's code is the real one; the disk is made slow here, in the child, before it starts.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from addons import levers
from addons.child import Child
from tests.support.authority import authority
from tests.support.journals import Session as Recorded
from tests.support.wiretape import Session

_LOOK_S = 0.01


class SlowDisk:
    """A worker without a daemon, whose sessions record into journals on a disk that stalls."""

    def __init__(self, folder: Path, *connect_to: str) -> None:
        self._folder = folder
        self._connect_to = connect_to
        self._stalled = folder / "stalled"
        self._child = Child(
            "worker",
            [__name__, str(folder), "w1", str(self._stalled)],
            lambda _child: None,
            levers.interpreter_options(),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.resume()
        self._child.close(10)

    def stall(self) -> None:
        """Let every write of a new segment wait from now on."""
        self._stalled.touch()

    def resume(self) -> None:
        """Let the writes go on."""
        self._stalled.unlink(missing_ok=True)

    def open(self, recorded: Recorded) -> Session:
        """Open a session that records into this journal."""
        recording = recorded.recording
        port = self._child.call(
            "open",
            session={
                "name": recording.name,
                "directory": str(recorded.directory),
                "port": 0,
                "headers": recording.headers.to_json(),
                "hosts": [],
                "never_decrypt": [],
                "max_body": recording.max_body,
                "trusted_ca": str(authority().ca_file),
                "connect_to": list(self._connect_to),
                "upstream_proxy": None,
                "replay": None,
            },
        )["port"]
        variables = {
            "HTTPS_PROXY": f"http://127.0.0.1:{port}",
            "SSL_CERT_FILE": str(self._folder / "mitmproxy-ca-cert.pem"),
        }
        return Session(recording.name, recorded.cassette, variables)

    def close(self, recorded: Recorded) -> dict[str, Any]:
        """Close a session; its journal then has all that the disk took. Returns the worker's counts."""
        name = recorded.recording.name
        counts: dict[str, Any] = self._child.call("close", name=name, drain_seconds=10)
        return counts

    def counts(self, recorded: Recorded) -> dict[str, Any]:
        """Return what the worker counts of a session."""
        counts: dict[str, Any] = self._child.call("counts")[recorded.recording.name]
        return counts


def main() -> None:
    """Start the worker on the slow disk."""
    from addons import worker
    from cassette import files, segments

    stalled = Path(sys.argv[3])

    def slowly(handle: int, pieces: Any, **how: Any) -> None:
        while stalled.exists():
            time.sleep(_LOOK_S)
        files.write_all(handle, pieces, **how)

    setattr(segments, "write_all", slowly)  # noqa: B010 - to the type checker it is no attribute of that module
    worker.main()


if __name__ == "__main__":
    main()
