"""What is typed wrong is told in one line, with the status 2; and odd surroundings do no harm."""

from __future__ import annotations

import subprocess

import pytest

from tests.support.wiretape import Wiretape, command_line


@pytest.mark.parametrize(
    ("arguments", "says", "see"),
    [
        (["--colour"], "No such option", "wiretape --help"),
        (["strat"], "No such command 'strat'", "wiretape --help"),
        (["start", "--porrt", "1"], "--port", "wiretape start --help"),
        (["start", "--port", "99999"], "99999", "wiretape start --help"),
        (["run"], "Missing argument", "wiretape run --help"),
        (["start", "--append", "--overwrite"], "exclude each other", "wiretape start --help"),
        (["service", "instal"], "No such command 'instal'", "wiretape service --help"),
    ],
)
def test_wrong_usage_is_one_line(wiretape: Wiretape, arguments: list[str], says: str, see: str) -> None:
    done = wiretape.run(*arguments, check=False)
    (line,) = done.stderr.decode().splitlines()
    assert (done.returncode, done.stdout) == (2, b"")
    assert line.startswith("wiretape: ")
    assert says in line
    assert line.endswith(f"; see: {see}")


def test_without_a_command_there_is_help(wiretape: Wiretape) -> None:
    done = wiretape.run(check=False)
    assert b"Commands:" in done.stdout + done.stderr


def test_output_that_is_closed_does_not_keep_a_session_from_starting(wiretape: Wiretape) -> None:
    script = " ".join(['"$@"', ">&-"])
    done = subprocess.run(
        ["sh", "-c", script, "sh", *command_line(), "start", "chat"],
        cwd=wiretape.folder, env=wiretape.environment, capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    assert [session["name"] for session in wiretape.status()["sessions"]] == ["chat"]


def test_home_that_is_a_file_is_told_by_logs(wiretape: Wiretape) -> None:
    file = wiretape.folder / "file"
    file.write_text("")
    done = wiretape.run("logs", check=False, env={"WIRETAPE_HOME": str(file)})
    (line,) = done.stderr.decode().splitlines()
    assert done.returncode == 4
    assert "WIRETAPE_HOME" in line
