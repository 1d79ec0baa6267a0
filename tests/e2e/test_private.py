"""What other users of the machine can do: nothing, under any umask, and wherever they plant a link."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cassette.files import interrupted_path
from proxy_cli.places import Places
from tests.support.inprocess import InProcess
from tests.support.rawclient import Http1, tunnel
from tests.support.scripts import whole
from tests.support.upstream import HTTP_1_ONLY, Upstream
from tests.support.wiretape import Session, command_line

HOST = "api.openai.com"
NOBODY = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")


@pytest.fixture
def wiretape(tmp_path: Path) -> Iterator[InProcess]:
    with InProcess(tmp_path) as command:
        yield command


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A file of the user's that is not to be written through any link."""
    path = tmp_path / "victim"
    path.write_bytes(b"precious")
    path.chmod(0o644)
    return path


def _ask_once(session: Session) -> None:
    client = Http1(tunnel(session, HOST))
    assert client.ask("POST", "/v1", [("Content-Type", "application/json")], b"{}").status == 200
    client.close()


def _modes(*folders: Path) -> dict[str, int]:
    return {
        str(path): stat.S_IMODE(path.lstat().st_mode)
        for folder in folders
        for path in [folder, *folder.rglob("*")]
        if not path.is_symlink()
    }


@pytest.mark.parametrize("umask", [0o000, 0o777])
def test_all_that_is_written_is_private_under_any_umask(umask: int, wiretape: InProcess) -> None:
    # A fresh home, two folders deep, and a cassette in a folder that is not there yet.
    home = wiretape.home / "deep" / "home"
    env = {"WIRETAPE_HOME": str(home)}
    wiretape.environment.update(env)
    before = os.umask(umask)
    try:
        with Upstream(whole(200, [], b"{}"), alpn=HTTP_1_ONLY) as upstream:
            session = wiretape.open(
                *upstream.options(), cassette=wiretape.folder / "new" / "tapes" / "x.yaml"
            )
            _ask_once(session)
            during = _modes(home.parent, wiretape.folder / "new")
            wiretape.close(session)
            after = _modes(home.parent, wiretape.folder / "new")
            wiretape.run("daemon", "stop")
    finally:
        os.umask(before)

    assert [name for name in during if name.endswith(".seg")]
    assert str(session.cassette) in after
    assert {name: oct(mode) for name, mode in (during | after).items() if mode & 0o077} == {}


PLACES: dict[str, Callable[[Path], Path]] = {
    "home": lambda home: home,
    "lock": lambda home: Places(home).lock,
    "log": lambda home: Places(home).log,
    "former log": lambda home: home / "daemon.log.1",
    "socket": lambda home: Places(home).socket,
    "journals": lambda home: Places(home).journals,
    "CA": lambda home: home / "ca",
    "CA lock": lambda home: home / "ca" / ".lock",
    "CA key": lambda home: home / "ca" / "mitmproxy-ca.pem",
    "CA certificate": lambda home: home / "ca" / "wiretape-ca.pem",
    "mitmproxy's file": lambda home: home / "ca" / "mitmproxy-dhparam.pem",
    "bundle": lambda home: home / "ca" / "bundle.pem",
    "roots": lambda home: home / "ca" / "upstream-roots.pem",
}


@pytest.mark.parametrize(
    ("place", "leads_to"),
    [
        *((place, "folder") for place in ("home", "journals", "CA")),
        *((place, "nothing") for place in ("log", "CA lock", "mitmproxy's file")),
        *((place, "file") for place in PLACES if place not in ("home", "journals", "CA", "CA lock")),
    ],
)
def test_link_that_is_planted_in_the_home_is_not_followed(
    place: str, leads_to: str, wiretape: InProcess, victim: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "others"
    folder.mkdir(mode=0o755)
    nothing = tmp_path / "nothing"
    path = PLACES[place](wiretape.home)
    if place == "home":
        wiretape.home.rmdir()
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.symlink_to({"file": victim, "folder": folder, "nothing": nothing}[leads_to])

    done = wiretape.run("start", "s1", "--cassette=x.yaml", check=False)
    if done.returncode == 0:
        wiretape.run("stop", "s1")
        wiretape.run("daemon", "stop")
    said = done.stderr.decode().splitlines()

    assert (victim.read_bytes(), stat.S_IMODE(victim.stat().st_mode)) == (b"precious", 0o644)
    assert (list(folder.iterdir()), stat.S_IMODE(folder.stat().st_mode)) == ([], 0o755)
    assert not nothing.exists()
    assert done.returncode in (0, 3, 4), said
    if done.returncode:
        (line,) = said
        assert str(path) in line
        path.unlink()


def test_links_that_are_planted_among_the_journals_are_not_followed(
    wiretape: InProcess, victim: Path
) -> None:
    with Upstream(whole(200, [], b"{}"), alpn=HTTP_1_ONLY) as upstream:
        session = wiretape.open(*upstream.options())
        (journal,) = Places(wiretape.home).journals.iterdir()
        for name in (
            "cassette.ledger",
            "interrupted.ledger",
            "w2.live",
            "w2-00000001.seg",
            "w1-00000004.seg",
        ):
            if not (journal / name).exists():
                (journal / name).symlink_to(victim)
        _ask_once(session)
        wiretape.close(session)
    assert victim.read_bytes() == b"precious"


def test_a_session_behind_a_link_is_not_recovered(wiretape: InProcess, tmp_path: Path) -> None:
    journals = Places(wiretape.home).journals
    journals.mkdir(mode=0o700)
    planted = tmp_path / "planted"
    planted.mkdir()
    (planted / "w1-00000001.seg").write_bytes(b"wiretape journal\x01\0\0\0")
    (planted / "session.json").write_text("{}")
    (journals / "chat-1").symlink_to(planted)
    assert wiretape.run("recover").stdout == b"nothing to recover\n"
    assert len(list(planted.iterdir())) == 2


@needs_root
@pytest.mark.parametrize("option", ["--append", "--overwrite"])
def test_a_strangers_link_in_place_of_the_cassette_is_not_followed(
    option: str, wiretape: InProcess, victim: Path
) -> None:
    cassette = wiretape.folder / "x.yaml"
    for path in (cassette, interrupted_path(cassette)):
        path.symlink_to(victim)
        os.lchown(path, NOBODY, NOBODY)
    done = wiretape.run("start", "s1", f"--cassette={cassette}", option, check=False)
    assert done.returncode == 3
    assert "symlink of another user" in done.stderr.decode()
    assert victim.read_bytes() == b"precious"


def _as_nobody(code: str, *arguments: str | Path) -> str:
    """Run Python as another user; return what it says."""
    # What is imported has to be before: the interpreter itself may lie where only root can look.
    become = "import os, socket, sys; os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
    done = subprocess.run(
        [sys.executable, "-c", become + code, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


@needs_root
def test_another_user_reads_and_drives_nothing(wiretape: InProcess) -> None:
    # Pytest's own folders are closed to others: what is looked at has to be protected by itself.
    folder = Path(tempfile.mkdtemp(prefix="wt-open-"))
    folder.chmod(0o755)
    try:
        with Upstream(whole(200, [], b"{}"), alpn=HTTP_1_ONLY) as upstream:
            session = wiretape.open(*upstream.options(), cassette=folder / "x.yaml")
            _ask_once(session)
            socket_path = Places(wiretape.home).socket
            # Not even where the home itself stands open.
            wiretape.home.chmod(0o755)
            reached = _as_nobody(
                "socket.socket(socket.AF_UNIX).connect(sys.argv[1]); print('connected')",
                socket_path,
            )
            wiretape.close(session)
        read = [
            _as_nobody("print(open(sys.argv[1], 'rb').read())", path)
            for path in [session.cassette, *wiretape.home.rglob("*")]
            if path.is_file()
        ]
        wiretape.home.chmod(0o700)
        listed = _as_nobody("print(os.listdir(sys.argv[1]))", wiretape.home)
    finally:
        shutil.rmtree(folder)

    for said in (reached, listed, *read):
        assert "PermissionError" in said


@needs_root
def test_socket_folder_that_somebody_else_made_is_refused(wiretape: InProcess) -> None:
    home = wiretape.home / ("long-" * 20)
    home.mkdir(mode=0o700)
    wiretape.environment["WIRETAPE_HOME"] = str(home)
    folder = Places(home).socket.parent
    assert folder.parent == Path(tempfile.gettempdir())
    folder.mkdir(mode=0o777)
    os.chown(folder, NOBODY, NOBODY)
    try:
        with socket.socket(socket.AF_UNIX) as stranger:
            stranger.bind(str(folder / "control.sock"))
            stranger.listen()
            for command in (["status"], ["start", "s1", "--cassette=x.yaml"], ["stop", "--all"]):
                done = wiretape.run(*command, check=False)
                (line,) = done.stderr.decode().splitlines()
                assert (done.returncode, str(folder) in line) == (4, True)
        (folder / "control.sock").unlink()
        daemon = subprocess.run(
            [*command_line(), "daemon", "--foreground"],
            env=wiretape.environment, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert daemon.returncode in (3, 4)
        assert f"{folder}" in daemon.stderr.splitlines()[-1]
        assert "belongs to user" in daemon.stderr.splitlines()[-1]
    finally:
        shutil.rmtree(folder)
        wiretape.environment["WIRETAPE_HOME"] = str(wiretape.home)
