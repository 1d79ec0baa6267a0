"""One proxy worker without daemon and scribe, with some of our patches of mitmproxy left out or values changed.

That is how a test shows what mitmproxy does by itself: when it no longer does, the test fails and our patch may go.
The worker's code is the real one; leaving patches out is done here, in the child, before it starts.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import os
import socket
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from addons import levers
from addons.child import Child
from cassette.headerfilter import HeaderPolicy
from tests.support.authority import authority
from tests.support.wiretape import Session


class WorkerAlone:
    """A worker with one session in the mode passthrough. `without` names patches, `values` changes constants."""

    def __init__(
        self,
        *connect_to: str,
        without: Sequence[str] = (),
        values: Mapping[str, float] | None = None,
        hosts: Sequence[str] = (),
    ) -> None:
        self._connect_to = connect_to
        self._hosts = hosts
        self._folder = tempfile.TemporaryDirectory(prefix="worker-")
        changes = json.dumps({"without": list(without), "values": dict(values or {})})
        self._child = Child(
            "worker",
            [__name__, self._folder.name, "alone", changes],
            lambda _child: None,
            levers.interpreter_options(),
        )

    def __enter__(self) -> Self:
        description = {
            "name": "alone",
            "directory": None,
            "port": 0,
            "headers": HeaderPolicy().to_json(),
            "hosts": list(self._hosts),
            "never_decrypt": [],
            "max_body": 1 << 30,
            "trusted_ca": str(authority().ca_file),
            "connect_to": list(self._connect_to),
            "upstream_proxy": None,
            "replay": None,
        }
        self.port: int = self._child.call("open", session=description)["port"]
        bundle = Path(self._folder.name) / "mitmproxy-ca-cert.pem"
        variables = {"HTTPS_PROXY": f"http://127.0.0.1:{self.port}", "SSL_CERT_FILE": str(bundle)}
        self.session = Session("alone", Path(self._folder.name) / "none.yaml", variables)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._child.close(10)
        self._folder.cleanup()

    @property
    def resident_bytes(self) -> int:
        """How much of the worker is in memory, as Linux counts it."""
        pages = int(Path(f"/proc/{self._child.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGESIZE")

    def counts(self) -> dict[str, Any]:
        """Return what the worker counts of the session."""
        counts: dict[str, Any] = self._child.call("counts")["alone"]
        return counts

    def look(self) -> dict[str, Any]:
        """Return what is alive in the worker: tasks, connections, upstreams, timeouts, objects, descriptors."""
        found: dict[str, Any] = self._child.call("look")
        return found


def main() -> None:
    """Start the worker, changed as the arguments say."""
    from addons import compat, worker

    changes = json.loads(sys.argv[3])
    for name in changes["without"]:
        kept = tuple(patch for patch in compat._PATCHES if patch[1].__name__ != name)
        if len(kept) < len(compat._PATCHES):
            compat._PATCHES = kept  # type: ignore[assignment]
        elif hasattr(compat, name):  # not installed but called
            setattr(compat, name, lambda *_arguments: None)
        else:
            raise SystemExit(f"no such patch: {name}")
    for name, value in changes["values"].items():
        module, _, attribute = name.partition(":")
        if not hasattr(importlib.import_module(module), attribute):
            raise SystemExit(f"no such constant: {name}")
        setattr(importlib.import_module(module), attribute, value)

    do = worker.Worker._do

    async def look_too(self: worker.Worker, request: dict[str, Any]) -> Any:
        if request["do"] != "look":
            return await do(self, request)
        gc.collect()  # layers and their contexts are in cycles, collected now and then
        connections = self._engine._proxyserver.connections.values()
        upstreams: list[Any] = [
            io.writer for one in connections for end, io in one.transports.items() if end is not one.client
        ]
        sockets = [writer.get_extra_info("socket") for writer in upstreams if writer is not None]
        return {
            "tasks": len(asyncio.all_tasks()),
            "connections": len(connections),
            "upstreams": len(upstreams),
            "kept_alive": [one.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) != 0 for one in sockets],
            "ping_seconds": self._engine._master.options.http2_ping_keepalive,
            "timeouts": [one.timeout_watchdog.timeout for one in connections],
            "objects": len(gc.get_objects()),  # those that a full collection goes through
            "descriptors": len(os.listdir("/proc/self/fd")),  # noqa: PTH208 - names, not paths
        }

    worker.Worker._do = look_too  # type: ignore[method-assign]
    worker.main()


if __name__ == "__main__":
    main()
