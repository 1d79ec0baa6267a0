"""A room without a way out: run by `unshare --net --mount`, it lets commands work with nothing but loopback.

Argument: a file to write on, which takes the place of /etc/resolv.conf in the room. Standard input: a list of
commands. Names are looked up at a socket of ours, which refuses and remembers them. Prints an object for each
command: its exit status, what it printed, the names that were looked up. Exits with `CANNOT` where this machine
does not let it make the room.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from pathlib import Path

CANNOT = 77
_RESOLVER = ("127.0.0.1", 53)
_REFUSED = b"\x81\x05"
"""A response, and its code (RFC 1035, 4.1.1): so that nobody waits for more."""


class Resolver:
    """A name server that knows nothing."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(_RESOLVER)
        self.asked: set[str] = set()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            query, sender = self._socket.recvfrom(4096)
            self.asked.add(_name(query))
            self._socket.sendto(query[:2] + _REFUSED + query[4:], sender)


def _name(query: bytes) -> str:
    labels, at = [], 12
    while size := query[at]:
        labels.append(query[at + 1 : at + 1 + size].decode("latin-1"))
        at += 1 + size
    return ".".join(labels)


def make(resolv_conf: Path) -> Resolver:
    """Bring loopback up and put our resolver in the system's place, in this room only."""
    resolv_conf.write_text(f"nameserver {_RESOLVER[0]}\noptions timeout:1 attempts:1\n")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True, capture_output=True)
    subprocess.run(["mount", "--bind", resolv_conf, "/etc/resolv.conf"], check=True, capture_output=True)
    return Resolver()


def main() -> None:
    try:
        resolver = make(Path(sys.argv[1]))
    except (OSError, subprocess.CalledProcessError) as exc:
        print(f"no room of our own: {exc}", file=sys.stderr)
        sys.exit(CANNOT)
    for command in json.load(sys.stdin):
        resolver.asked = set()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        seen = {"status": done.returncode, "out": done.stdout, "err": done.stderr}
        print(json.dumps({**seen, "asked": sorted(resolver.asked)}), flush=True)


if __name__ == "__main__":
    main()
