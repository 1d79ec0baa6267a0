"""Which addresses a process and its descendants are connected to, read from Linux's /proc.

Looked at again and again while a command runs (proc(5): /proc/PID/net/tcp, /proc/PID/fd): a connection that is opened
and closed between two looks is not seen. Other platforms have no /proc, and nothing is said there.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_LOOK_SECONDS = 0.02
"""How long a connection may live unseen; longer where a look takes so long that it would be a load."""
_SHARE = 5
"""A look takes a fifth of the time at most."""

_ESTABLISHED, _SYN_SENT, _FIN_WAIT1, _FIN_WAIT2, _CLOSE_WAIT, _LAST_ACK, _LISTEN = 1, 2, 4, 5, 8, 9, 10
_GOING_OUT = frozenset({_ESTABLISHED, _SYN_SENT, _FIN_WAIT1, _FIN_WAIT2, _CLOSE_WAIT, _LAST_ACK})
"""Linux, include/net/tcp_states.h."""

_HTTP3_PORT = 443
_DNS_PORT = 53

Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of /proc/PID/net/tcp."""

    local: Address
    remote: Address
    state: int
    inode: int


@dataclass(frozen=True, slots=True)
class Connection:
    """A connection that went past the proxy."""

    host: str
    port: int
    protocol: str
    """tcp or udp."""
    pid: int
    process: str
    """The name of the process that had it, as `ps` shows it."""

    @property
    def address(self) -> str:
        """Host and port as they are written in URLs."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_local(self) -> bool:
        """Whether it stays on this machine."""
        return ipaddress.ip_address(self.host).is_loopback


class Watch:
    """Watches a process from `with` to its end; what went past the proxy is in `past` afterwards."""

    def __init__(self, pid: int, proxy: Address) -> None:
        self.past: dict[tuple[str, int, str], Connection] = {}
        """By remote address and protocol: the first that was seen."""
        self._proxy = proxy
        self._pids = {pid: _name(pid)}
        self._strangers: set[int] = set()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="doctor-sockets", daemon=True)

    @staticmethod
    def is_possible() -> bool:
        """Tell whether this platform shows sockets of processes."""
        return (_PROC / "self" / "net" / "tcp").exists()

    def __enter__(self) -> Watch:
        if self.is_possible():
            self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._done.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        pause = 0.0
        while not self._done.wait(pause):
            started = time.monotonic()
            self._look()
            pause = max(_LOOK_SECONDS, (time.monotonic() - started) * (_SHARE - 1))

    def _look(self) -> None:
        self._adopt()
        owners = {inode: pid for pid in self._pids for inode in _inodes(pid)}
        if not owners:
            return
        some = next(iter(owners.values()))
        rows = {protocol: list(_rows(some, protocol)) for protocol in ("tcp", "udp")}
        own = {row.local[1] for row in rows["tcp"] if row.state == _LISTEN and row.inode in owners}
        for protocol, listed in rows.items():
            for row in listed:
                if row.inode in owners and self._is_past(row, protocol, own):
                    host, port = row.remote
                    pid = owners[row.inode]
                    name = _name(pid) or self._pids[pid]
                    self.past.setdefault((host, port, protocol), Connection(host, port, protocol, pid, name))

    def _adopt(self) -> None:
        """Add new processes whose parent is known; one that is known stays so when its parent ends."""
        there = {int(name) for name in os.listdir(_PROC) if name.isdecimal()}  # noqa: PTH208 - fifty times a second
        # Whose child a process is does not change but by its parent's end: nobody is looked at twice.
        self._strangers &= there
        parents = {pid: _parent(pid) for pid in there - self._strangers - self._pids.keys()}
        while more := {pid for pid, parent in parents.items() if parent in self._pids}:
            self._pids |= {pid: _name(pid) for pid in more}
            parents = {pid: parent for pid, parent in parents.items() if pid not in more}
        self._strangers |= parents.keys()

    def _is_past(self, row: Row, protocol: str, own: set[int]) -> bool:
        host, port = row.remote
        if row.state not in _GOING_OUT or port == _DNS_PORT or row.remote == self._proxy:
            return False
        if protocol == "udp":
            return port == _HTTP3_PORT
        # To and from servers that the command itself runs.
        return row.local[1] not in own and not (ipaddress.ip_address(host).is_loopback and port in own)


def parse_table(text: str) -> Iterator[Row]:
    """Read /proc/net/tcp, tcp6, udp or udp6; addresses of IPv4 within IPv6 come out as IPv4."""
    for line in text.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 9:
            yield Row(_address(fields[1]), _address(fields[2]), int(fields[3], 16), int(fields[9]))


def _address(text: str) -> Address:
    """Read `0100007F:1F90`: words of four bytes in the machine's order, a port."""
    digits, _, port = text.partition(":")
    words = [bytes.fromhex(digits[at : at + 8]) for at in range(0, len(digits), 8)]
    packed = b"".join(word[::-1] if sys.byteorder == "little" else word for word in words)
    parsed = ipaddress.ip_address(packed)
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return str(mapped or parsed), int(port, 16)


def _rows(pid: int, protocol: str) -> Iterator[Row]:
    # Through the process: it may have a network of its own (a namespace).
    for name in (protocol, f"{protocol}6"):
        with contextlib.suppress(OSError):
            yield from parse_table((_PROC / str(pid) / "net" / name).read_text(encoding="ascii"))


def _inodes(pid: int) -> Iterator[int]:
    folder = f"/proc/{pid}/fd"
    try:
        names = os.listdir(folder)  # noqa: PTH208
    except OSError:
        return
    for name in names:
        try:
            target = os.readlink(f"{folder}/{name}")  # noqa: PTH115
        except OSError:
            continue
        if match := re.fullmatch(r"socket:\[(\d+)\]", target):
            yield int(match[1])


def _parent(pid: int) -> int | None:
    try:
        # The name stands in brackets and may hold anything (proc_pid_stat(5)).
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return int(stat.rpartition(")")[2].split()[1])


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
