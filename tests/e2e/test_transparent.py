"""mitmproxy's transparent mode: clients that know nothing of a proxy, in a network namespace of their own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.recorded import interactions

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 90.0


@pytest.fixture(scope="module")
def namespace() -> list[str]:
    """Return what a command is put behind to run in a network of its own."""
    for tool in ("unshare", "ip", "iptables", "curl"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    command = ["unshare", "--net"] if os.getuid() == 0 else ["unshare", "--net", "--map-root-user"]
    rule = "iptables -w -t nat -A OUTPUT -p tcp -j REDIRECT --to-ports 1"
    tried = subprocess.run([*command, "sh", "-c", rule], capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        pytest.skip(f"no network namespace with iptables here: {tried.stderr.strip()}")
    return command


def test_routers_are_recorded_and_others_tunnelled(namespace: list[str], tmp_path: Path) -> None:
    done = subprocess.run(
        [*namespace, sys.executable, "-m", "tests.support.transparent", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["got"] == {"router": "far", "tunnel": "far", "plain": "far"}
    urls = [one.url for one in interactions(told["cassette"].encode())]
    assert urls == ["https://api.openai.com/v1/models", "http://plain.example/v1"]
