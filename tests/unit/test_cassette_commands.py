"""How the commands `ls`, `show` and `verify` take their arguments, and how they end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click import Command
from click.testing import CliRunner

from cassette.codec import dumps
from cassette.model import Cassette
from proxy_cli.cassette_commands import ls, show, verify
from tests.support.talk import interaction

ROOT = Path(__file__).resolve().parents[2]


def python(code: str, *arguments: str) -> list[str]:
    return [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); {code}", *arguments]


@pytest.mark.parametrize("command", [ls, show, verify], ids=["ls", "show", "verify"])
def test_help_gives_examples(command: Command) -> None:
    result = CliRunner().invoke(command, ["--help"])
    assert result.exit_code == 0
    assert "Examples:\n" in result.output
    assert f"    wiretape {command.name} " in result.output
    assert "--json" in result.output


@pytest.mark.parametrize("command", [ls, show, verify], ids=["ls", "show", "verify"])
def test_no_cassette_is_a_usage_error(command: Command) -> None:
    result = CliRunner().invoke(command, [])
    assert result.exit_code == 2
    assert "CASSETTE" in result.stderr


@pytest.mark.parametrize("options", [["--raw", "--json"], ["--raw", "--raw-request"]])
def test_two_forms_of_output_are_a_usage_error(options: list[str]) -> None:
    result = CliRunner().invoke(show, ["x.yaml", *options])
    assert result.exit_code == 2
    assert "exclude each other" in result.stderr


def test_id_must_be_a_number() -> None:
    result = CliRunner().invoke(show, ["x.yaml", "first"])
    assert result.exit_code == 2
    assert "'first'" in result.stderr


def test_reader_that_leaves_ends_the_command_without_a_word(tmp_path: Path) -> None:
    path = tmp_path / "big.yaml"
    item = interaction("https://api.example.com/v1/else", b"{}", b"line\n" * 100)
    path.write_bytes(dumps(Cassette((item,) * 2000)))
    reading, writing = os.pipe()
    process = subprocess.Popen(
        python("from proxy_cli.cassette_commands import ls; ls()", str(path)),
        stdout=writing,
        stderr=subprocess.PIPE,
    )
    os.close(writing)
    os.close(reading)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (141, b"")


def test_declaring_the_commands_brings_neither_the_library_nor_mitmproxy() -> None:
    code = "import proxy_cli.cassette_commands; print(*sys.modules)"
    modules = subprocess.run(python(code), capture_output=True, text=True, check=True).stdout.split()
    assert "yaml" not in modules
    assert "cassette.conversation" not in modules


def test_reading_a_cassette_does_not_bring_mitmproxy() -> None:
    code = "import proxy_cli.cassette_reading; print(*sys.modules)"
    modules = subprocess.run(python(code), capture_output=True, text=True, check=True).stdout.split()
    assert not {"mitmproxy", "asyncio"} & set(modules)
