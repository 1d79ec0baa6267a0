"""A network of its own in which connections are redirected to mitmdump: run as the first program of a namespace.

    unshare -n python -m tests.support.transparent FOLDER

Clients are told by their source port, so one user is enough; 192.0.2.9 stands for the internet and leads to a
scripted upstream. Prints what the clients got, and the cassette, as one JSON object.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

from tests.support.authority import authority
from tests.support.scripts import DEADLINE_S, whole
from tests.support.upstream import HTTP_1_ONLY, Upstream
from tests.support.waiting import until

ROOT = Path(__file__).resolve().parents[2]
INTERNET = "192.0.2.9"
PROXY_PORT = 8080
CLIENT_PORTS = "40000:40099"


def _network(upstream_port: int) -> None:
    nat = ["iptables", "-w", "-t", "nat", "-A", "OUTPUT", "-p", "tcp", "-d", INTERNET]
    for command in (
        ["ip", "link", "set", "lo", "up"],
        ["ip", "address", "add", f"{INTERNET}/32", "dev", "lo"],
        [*nat, "--sport", CLIENT_PORTS, "-j", "REDIRECT", "--to-ports", str(PROXY_PORT)],
        [*nat, "-j", "DNAT", "--to-destination", f"127.0.0.1:{upstream_port}"],
    ):
        subprocess.run(command, check=True)


def _curl(url: str, ca_file: Path) -> str:
    host = url.split("/")[2]
    port = 443 if url.startswith("https:") else 80
    done = subprocess.run(
        [
            "curl", "-sS", "--max-time", "20", "--noproxy", "*", "--local-port", CLIENT_PORTS.replace(":", "-"),
            "--resolve", f"{host}:{port}:{INTERNET}", "--cacert", str(ca_file), url,
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout or done.stderr


def main(folder: Path) -> None:
    """Record a router, a tunnel and a router in clear text."""
    cassette = folder / "chat.yaml"
    with Upstream(whole(200, [], b"far"), alpn=HTTP_1_ONLY) as upstream:
        _network(upstream.port)
        mitmdump = subprocess.Popen(
            [
                sys.executable, "-c", "from mitmproxy.tools.main import mitmdump; mitmdump()",
                "--mode", "transparent", "-p", str(PROXY_PORT), "-s", str(ROOT / "addons" / "entry.py"),
                "--set", f"confdir={folder / 'conf'}", "--set", f"wiretape_cassette={cassette}",
                "--set", f"ssl_verify_upstream_trusted_ca={upstream.ca_file}",
                "--set", "wiretape_hosts=plain.example",
            ],
            env=os.environ | {"WIRETAPE_HOME": str(folder / "home"), "PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            until("mitmdump", cassette.exists)
            until("its listener", lambda: socket.socket().connect_ex(("127.0.0.1", PROXY_PORT)) == 0)
            ours = folder / "conf" / "mitmproxy-ca-cert.pem"
            got = {
                "router": _curl("https://api.openai.com/v1/models", ours),
                "tunnel": _curl("https://www.example.com/", authority().ca_file),
                "plain": _curl("http://plain.example/v1", ours),
            }
        finally:
            mitmdump.send_signal(signal.SIGINT)
            mitmdump.wait(DEADLINE_S)
    print(json.dumps({"got": got, "cassette": cassette.read_text()}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
