"""Where the state of an installation lies."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from proxy_cli.places import Places


def test_everything_lies_below_the_home(tmp_path: Path) -> None:
    places = Places(tmp_path)
    for path in (places.journals, places.log, places.lock):
        assert path.parent == tmp_path
    assert Places(Path("/short")).socket == Path("/short/control.sock")


@pytest.mark.parametrize("name", ["x" * 150, "\N{SNOWMAN}" * 40])
def test_socket_of_a_long_home_can_be_bound(name: str, tmp_path: Path) -> None:
    path = Places(tmp_path / name).socket
    path.parent.mkdir(mode=0o700, exist_ok=True)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            listener.bind(str(path))
    finally:
        path.unlink(missing_ok=True)
        path.parent.rmdir()


def test_sockets_of_two_long_homes_are_two() -> None:
    one, two = (Places(Path("/" + "x" * 150 + end)).socket for end in "ab")
    assert one != two
    assert str(os.getuid()) in one.parent.name
    assert one == Places(Path("/" + "x" * 150 + "a")).socket
