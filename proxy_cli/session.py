"""One session of the daemon: what was asked for, what it counts, and how it is described to whom.

Pure but for a look at its cassette; the registry moves it through its life.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from addons.access import proxy_url
from addons.errors import StartError
from addons.reverse import parse_reverse
from addons.routing import NO_UPSTREAM_PROXY, parse_upstream_proxy
from cassette.headerfilter import HeaderPolicy
from cassette.model import Layout
from cassette.recording import Recording
from cassette.store import load
from cassette.wire import HostField
from proxy_cli.messages import SessionRequest

_GAUGES = ("in_flight", "unused", "journal_bytes", "waiting_bytes")
"""What a worker reports that is no more when the worker is not; the other numbers are counters."""
_MOST_MESSAGES = 5
_SMALL_BYTES = 1024
"""A larger cassette holds something; a smaller one has to be read."""


@dataclass(slots=True)
class Session:
    """One session that is open."""

    request: SessionRequest
    directory: Path
    records: bool
    """Whether exchanges are recorded."""
    replays: bool
    """Whether requests are answered from the cassette."""
    port: int = 0
    decks: Path | None = None
    """Where workers note what they have replayed, for each other and for their successors; None: nowhere."""
    phase: int = 0
    """How often the mode was changed."""
    reverse: list[str] = field(default_factory=list)
    """The listeners for clients that know no proxy, `PORT=URL`, once they are open."""
    closing: bool = False
    has_journal: bool = False
    """Whether something is recorded, or was before the mode was changed."""
    has_replayed: bool = False
    """Whether something is replayed, or was before the mode was changed."""
    changing: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)
    """Held while the mode is changed."""
    gone_writers: list[str] = field(default_factory=list)
    problem: str = ""
    """Why a worker does not serve it."""
    counted: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What the workers count, by writer; of dead ones the counters as last seen."""
    written: dict[str, Any] = field(default_factory=dict)

    @property
    def has_cassette(self) -> bool:
        """Whether it has to do with a cassette at all."""
        return self.has_journal or self.has_replayed

    def opened(self, listens: dict[str, Any]) -> None:
        """Note where workers listen; those that come later do so, too."""
        self.port, self.reverse = int(listens["port"]), listens["reverse"]

    def worker_spec(self, port: int) -> dict[str, Any]:
        """Return what a worker has to know, in plain JSON types."""
        request = self.request
        return {
            "name": request.name,
            "directory": str(self.directory) if self.records else None,
            "port": port,
            "headers": request.headers,
            "hosts": request.hosts,
            "never_decrypt": request.never_decrypt,
            "max_body": request.max_body,
            "trusted_ca": request.trusted_ca,
            "connect_to": request.connect_to,
            # Sealed, a session has no use for a way to the upstreams.
            "upstream_proxy": self._upstream_proxy() if self.records or not self.replays else None,
            "no_proxy": request.no_proxy,
            "client_cert": request.client_cert,
            "reverse": self.reverse or request.reverse,
            "replay": self._replay(),
            "blocks": request.on_record_failure == "block",
            "listen": request.listen,
            "login": request.login,
        }

    def _upstream_proxy(self) -> str | None:
        url = self.request.upstream_proxy
        return None if url == NO_UPSTREAM_PROXY else url

    def _replay(self) -> dict[str, Any] | None:
        if not self.replays:
            return None
        # A session that records what it has no answer for has to reach the upstreams.
        return self.request.replay | {
            "cassette": str(self.request.cassette),
            "sealed": not self.records,
            "claims": str(self._deck) if self._deck is not None else None,
        }

    @property
    def _deck(self) -> Path | None:
        return self.decks / f"{self.directory.name}.{self.phase}" if self.decks is not None else None

    def forget_decks(self) -> None:
        """Delete what workers noted of replays, in all phases."""
        if self.decks is not None:
            for path in self.decks.glob(f"{self.directory.name}.*"):
                path.unlink(missing_ok=True)

    def description(self) -> Recording:
        """Return what the scribe has to know."""
        request = self.request
        return Recording(
            request.name,
            request.cassette,
            Layout(request.layout),
            HostField(request.host_field),
            HeaderPolicy.from_json(request.headers),
            request.max_body,
            request.keep_timing,
        )

    def count(self, writer: str, counted: dict[str, Any]) -> None:
        """Take over what a worker counted."""
        self.counted[writer] = counted

    def writer_gone(self, writer: str) -> None:
        """Keep what a worker had counted, as last seen, now that it is dead."""
        self.gone_writers.append(writer)
        last = self.counted.get(writer, {})
        self.counted[writer] = {name: value for name, value in last.items() if name not in _GAUGES}

    @property
    def traffic(self) -> dict[str, Any]:
        """What all workers counted, in one."""
        return merged(self.counted.values())

    def status(self) -> dict[str, Any]:
        """Return a session's status as `status --json` shows it."""
        traffic, written = self.traffic, self.written
        failed = traffic.get("failed", 0) + written.get("failed", 0)
        return {
            "name": self.request.name,
            "mode": self.request.mode,
            "changing": self.changing.locked(),
            "port": self.port,
            "proxy": proxy_url(self.request.listen, self.port),
            "listen": self.request.listen,
            "reverse": [
                {"base_url": proxy_url(self.request.listen, one.listen_port), "upstream": one.url}
                for one in map(parse_reverse, self.reverse)
            ],
            "upstream_proxy": parse_upstream_proxy(url).address if (url := self._upstream_proxy()) else None,
            "cassette": str(self.request.cassette) if self.has_cassette else None,
            "records": self.records,
            "replays": self.replays,
            "interactions": written.get("interactions", 0),
            "interrupted": written.get("interrupted", 0),
            **self._replayed(traffic),
            "in_flight": traffic.get("in_flight", 0),
            "passed": traffic.get("passed", 0),
            "tunnels": traffic.get("tunnels", 0),
            "cut": traffic.get("cut", 0),
            "not_recorded": {
                "websockets": traffic.get("websockets", 0),
                "too_long": traffic.get("too_long", 0),
                "refused": traffic.get("refused", 0),
                "failed": failed,
                "blocked": traffic.get("blocked", 0),
            },
            "failure": traffic.get("failure", ""),
            "workers": {
                writer: {name: counted.get(name, 0) for name in ("exchanges", "passed", "hits", "in_flight")}
                for writer, counted in self.counted.items()
            },
            "journal_lag_bytes": max(0, traffic.get("journal_bytes", 0) - written.get("read_bytes", 0)),
            "problem": written.get("problem") or traffic.get("problem") or self.problem,
        }

    def _replayed(self, traffic: dict[str, Any]) -> dict[str, Any]:
        if not self.has_replayed:
            return {}
        unused = {"unused": traffic.get("unused", 0)} if self.replays else {}
        counters = {name: traffic.get(name, 0) for name in ("hits", "misses")}
        return {**counters, **unused, "miss_messages": traffic.get("miss_messages", [])}


def merged(counted: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Return the counters of several workers in one: numbers add up, of texts the last that says something holds."""
    total: dict[str, Any] = {}
    for one in counted:
        for name, value in one.items():
            if isinstance(value, list):
                total[name] = [*total.get(name, []), *value][-_MOST_MESSAGES:]
            elif name == "unused":  # each says what is left for all
                total[name] = min(value, total.get(name, value))
            elif isinstance(value, str):
                total[name] = value or total.get(name, "")
            else:
                total[name] = total.get(name, 0) + value
    return total


def what_to_do(request: SessionRequest) -> tuple[bool, bool]:
    """Return whether a session records and whether it replays; go-vcr's modes.

    Raises StartError when there is no cassette to replay.
    """
    there = request.cassette.exists()
    match request.mode:
        case "passthrough":
            return False, False
        case "replay-only":
            if not there:
                raise StartError(
                    f"{request.cassette}: there is no cassette to replay; record it first: --mode record-only"
                )
            return False, True
        case "record-once":
            return not there, there
        case "replay-with-new-episodes":
            return True, there
        case _:
            return True, False


def holds_interactions(cassette: Path) -> bool:
    """Tell whether there is a cassette that holds something; raises FormatError where that is none."""
    try:
        if cassette.stat().st_size > _SMALL_BYTES:
            return True
    except FileNotFoundError:
        return False
    return bool(load(cassette).interactions)


def is_alive(pid: int) -> bool:
    """Tell whether a process runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        # One that has ended but was not waited for is dead all the same (proc_pid_stat(5); macOS has no /proc).
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return True
