"""Replay-only is sealed: the whole command works where there is no network, and looks no name up."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support import rawclient, room
from tests.support.golike import GoLikeClient
from tests.support.scripts import whole
from tests.support.tapes import CHAT, JSON, call, write_tape
from tests.support.upstream import HTTP_1_ONLY, HTTP_2_FIRST, Upstream
from tests.support.wiretape import Wiretape, command_line

QUESTION = {"model": "made", "messages": [{"role": "user", "content": "Are you there?"}]}
ANSWER = b'{"answer": "always"}'
OTHER = "other.example"

# The standard library's client, which reads HTTPS_PROXY and SSL_CERT_FILE.
_CLIENT = """
import sys, urllib.error, urllib.request
body = sys.argv[2].encode() or None
request = urllib.request.Request(sys.argv[1], body, {"Content-Type": "application/json"})
try:
    with urllib.request.urlopen(request) as response:
        print(response.status, response.read().decode())
except urllib.error.HTTPError as exc:
    print(exc.code, exc.read().decode())
except urllib.error.URLError as exc:
    print(exc.reason)
"""


@dataclass(frozen=True, slots=True)
class Seen:
    """What came of a command in the room."""

    status: int
    out: str
    err: str
    asked: Sequence[str]
    """The names that were looked up."""


@pytest.fixture
def tape(tmp_path: Path) -> Path:
    return write_tape(tmp_path / "tape.yaml", [call(QUESTION, ANSWER)])


def _in_a_room(wiretape: Wiretape, folder: Path, commands: Sequence[Sequence[str | Path]]) -> list[Seen]:
    """Run commands one after another where there is nothing but loopback; skip where there can be no such room."""
    if shutil.which("unshare") is None:
        pytest.skip("no unshare: this system has no network namespaces")
    done = subprocess.run(
        ["unshare", "--net", "--mount", sys.executable, room.__file__, folder / "resolv.conf"],
        input=json.dumps([list(map(str, command)) for command in commands]),
        env=wiretape.environment,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == room.CANNOT or done.stderr.startswith("unshare: "):
        pytest.skip(f"no network namespace of our own: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    return [Seen(**json.loads(line)) for line in done.stdout.splitlines()]


def _ask(tape: Path, url: str, body: str, *options: str) -> list[str | Path]:
    wiretape = [*command_line(), "run", "--mode=replay-only", f"--cassette={tape}", *options]
    return [*wiretape, "--", sys.executable, "-c", _CLIENT, url, body]


def test_run_replays_without_a_network_and_looks_no_name_up(
    wiretape: Wiretape, tape: Path, tmp_path: Path
) -> None:
    asked: list[list[str | Path]] = [
        _ask(tape, CHAT, json.dumps(QUESTION)),
        _ask(tape, CHAT, json.dumps({**QUESTION, "model": "another"})),
        _ask(tape, "https://api.anthropic.com/v1/messages", "{}"),
        _ask(tape, f"https://{OTHER}/", ""),
        _ask(tape, f"http://{OTHER}/", ""),
        _ask(tape, f"https://{OTHER}/", "", "--unlisted=tunnel"),
        [*command_line(), "daemon", "stop"],
    ]
    hit, miss, other_router, refused, refused_plain, tunnelled, stopped = _in_a_room(
        wiretape, tmp_path, asked
    )
    assert (hit.status, hit.out) == (0, f"200 {ANSWER.decode()}\n"), hit
    for missed in (miss, other_router):
        assert (missed.status, missed.out.partition(" ")[0]) == (1, "501"), missed
    assert "403" in refused.out
    assert (refused_plain.out.partition(" ")[0], "host_not_replayed" in refused_plain.out) == ("403", True)
    assert stopped.status == 0, stopped
    assert {
        name for seen in (hit, miss, other_router, refused, refused_plain) for name in seen.asked
    } == set()
    # That a look-up would have been seen: a host that may be reached is looked up.
    assert OTHER in tunnelled.asked, tunnelled


@pytest.mark.parametrize("alpn", [HTTP_1_ONLY, HTTP_2_FIRST], ids=["http1", "http2"])
@pytest.mark.parametrize("unlisted", ["refuse", "tunnel"])
def test_no_connection_leaves_for_a_router_and_others_as_the_option_says(
    shared_wiretape: Wiretape,
    new_name: Callable[[], str],
    tape: Path,
    unlisted: str,
    alpn: tuple[str, ...],
) -> None:
    name = new_name()
    with Upstream(whole(200, [], b"from outside"), alpn=alpn) as outside:
        options = ["--mode=replay-only", f"--unlisted={unlisted}", *outside.options()]
        session = shared_wiretape.start(name, *options, cassette=tape)
        with GoLikeClient(proxy=session.proxy, ca_file=session.bundle, alpn=alpn) as client:
            headers = [("Content-Type", JSON)]
            assert client.request("POST", CHAT, headers, json.dumps(QUESTION).encode()).body == ANSWER
            for url in (CHAT, "https://api.openai.com/", "https://openrouter.ai/api/v1/models"):
                assert client.request("GET", url).status == 501
        assert outside.connections == 0
        if unlisted == "tunnel":
            with GoLikeClient(proxy=session.proxy, ca_file=outside.ca_file, alpn=alpn) as client:
                assert client.request("GET", f"https://{OTHER}/").body == b"from outside"
            assert outside.connections == 1
        else:
            with pytest.raises(ConnectionRefusedError, match="host_not_replayed"):
                rawclient.connect(session, f"{OTHER}:443")
            assert outside.connections == 0
    shared_wiretape.stop(name)


def test_a_replay_of_nothing_is_refused_in_one_line(wiretape: Wiretape, tmp_path: Path) -> None:
    nothing = tmp_path / "nothing.yaml"
    for command in (["start", "x"], ["run"]):
        tail: list[Any] = ["--", "true"] if command == ["run"] else []
        done = wiretape.run(*command, "--mode=replay-only", f"--cassette={nothing}", *tail, check=False)
        assert done.returncode == 3
        (line,) = done.stderr.decode().splitlines()
        assert line.startswith(f"wiretape: {nothing}: there is no cassette to replay")
    assert not nothing.exists()
