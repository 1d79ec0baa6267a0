"""git, set up with nothing but what `wiretape env` prints, is recorded at a host that was asked for with --host."""

from __future__ import annotations

import os
import subprocess
from base64 import b64encode
from pathlib import Path

import pytest

from tests.matrix.recording import Recorder, assert_same, protocol
from tests.matrix.rows import AGENTS, ROWS
from tests.support.matrix_report import YES, Facts
from tests.support.matrix_tools import Tools
from tests.support.scripts import Received, Reply
from tests.support.secrets import made_up
from tests.support.upstream import Upstream

HOST = "git.corp.example"
URL = f"https://{HOST}/prompts.git"
SERVICE = "application/x-git-upload-pack"
TEXT = "".join(f"Zeile {number}: Größe\n" for number in range(5000))


class Server:
    """Serve one repository by git's own program, over HTTP (gitprotocol-http(5)), what it says piece by piece."""

    def __init__(self, repository: Path) -> None:
        self._repository = repository
        self.bodies: list[bytes] = []

    def play(self, request: Received, reply: Reply) -> None:
        is_advertisement = request.method == "GET"
        assert (
            request.target
            == f"/prompts.git/{'info/refs?service=git-upload-pack' if is_advertisement else 'git-upload-pack'}"
        )
        advertise = ["--advertise-refs"] if is_advertisement else []
        pack = subprocess.run(
            ["git", "upload-pack", "--stateless-rpc", *advertise, self._repository],
            env={**os.environ, "GIT_PROTOCOL": request.header("git-protocol") or ""},
            input=request.body,
            capture_output=True,
            check=True,
        ).stdout
        if is_advertisement:
            pack = b"001e# service=git-upload-pack\n0000" + pack
        self.bodies.append(pack)
        kind = "advertisement" if is_advertisement else "result"
        reply.head(200, [("Content-Type", f"{SERVICE}-{kind}"), ("Cache-Control", "no-cache")])
        for start in range(0, len(pack), 4096):
            reply.data(pack[start : start + 4096])
        reply.end()


def repository(folder: Path) -> Path:
    """Make a repository with one commit."""

    def git(*arguments: str) -> None:
        who = ["-c", "user.name=Made", "-c", "user.email=made@corp.example", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)

    folder.mkdir()
    (folder / "prompt.txt").write_text(TEXT)
    git("init", "--initial-branch=main")
    git("add", ".")
    git("commit", "--message=One prompt")
    return folder


@pytest.mark.matrix_only
def test_git_is_recorded_with_nothing_set_but_what_env_prints(
    tools: Tools, facts: Facts, recorder: Recorder, tmp_path: Path
) -> None:
    facts.update(place=len(ROWS) + len(AGENTS), client="git, clone")
    program = tools.git()
    facts.update(version=program.version, runtime=program.runtime, how="proxy, HTTPS_PROXY")
    login = b64encode(f"somebody:{made_up()}".encode()).decode()
    header = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "http.extraHeader"}
    secrets = {"GIT_CONFIG_VALUE_0": f"Authorization: Basic {login}"}
    server = Server(repository(tmp_path / "repository"))
    clone = [
        "sh",
        "-eu",
        "-c",
        '"$1" ls-remote "$2"; "$1" clone --quiet "$2" clone',
        "sh",
        *program.command,
        URL,
    ]
    with Upstream(server.play) as upstream:
        options = [f"--host={HOST}", *upstream.options(HOST)]
        printed, recorded = recorder.record(clone, options, secrets, header)
    assert printed.endswith(b"\trefs/heads/main\n")
    assert (recorder.folder / "client" / "clone" / "prompt.txt").read_text() == TEXT
    assert {request.header("authorization") for request in upstream.received} == {f"Basic {login}"}
    for one, received, body in zip(recorded, upstream.received, server.bodies, strict=True):
        assert_same(one, received, 200, body)
    first = upstream.received[0]
    facts.update(
        plain=YES, streamed=YES, note=f"{protocol(first)}; requests recorded: {len(recorded)}, by --host"
    )
