"""What `diff` prints for real files, and how it ends."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cassette.codec import dumps
from cassette.model import Cassette, Interaction
from proxy_cli.diff_command import diff
from tests.support.calls import CHAT
from tests.support.talk import interaction

ROOT = Path(__file__).resolve().parents[2]


def say(question: str, text: str = "Hi.") -> Interaction:
    answer = {"choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}]}
    return interaction(CHAT, {"model": "gpt", "messages": [{"role": "user", "content": question}]}, answer)


def write(path: Path, *interactions: Interaction) -> str:
    path.write_bytes(dumps(Cassette(tuple(replace(item, id=n) for n, item in enumerate(interactions)))))
    return str(path)


@pytest.fixture
def a(tmp_path: Path) -> str:
    return write(tmp_path / "a.yaml", say("one"), say("two", "Short."), say("three"))


@pytest.fixture
def b(tmp_path: Path) -> str:
    return write(
        tmp_path / "b.yaml", say("one"), say("two", "Long. " * 30), say("two and a half"), say("four")
    )


def run(*arguments: str) -> Result:
    return CliRunner().invoke(diff, list(arguments), catch_exceptions=False)


def test_equal_cassettes_exit_with_0(a: str) -> None:
    result = run(a, a)
    assert (result.exit_code, result.stdout) == (0, "no differences; 3 interactions\n")


def test_differences_exit_with_1_and_are_counted(a: str, b: str) -> None:
    result = run(a, b)
    assert result.exit_code == 1
    assert result.stdout.splitlines()[-1] == "2 changed, 1 added; 3 and 4 interactions"
    assert f"changed  interaction 1  POST {CHAT}\n  text\n" in result.stdout
    assert "    -Short.\n    +Long. \n" in result.stdout
    assert f"added  interaction 2  POST {CHAT}\n" in result.stdout


def test_short_values_stand_side_by_side(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{name}.yaml", say("one", f"{name}.")) for name in ("x", "y")]
    assert "  text           x. → y.\n" in run(*paths).stdout


def test_request_is_shown_as_a_diff(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{name}.yaml", say(name)) for name in ("x", "y")]
    output = run(*paths).stdout
    assert '    -      "content": "x",\n    +      "content": "y",\n' in output
    assert "---" not in output


def test_json_has_ids_and_both_sides(a: str, b: str) -> None:
    result = run("--json", a, b)
    assert result.exit_code == 1
    value = json.loads(result.stdout)
    assert (value["before"], value["after"], value["equal"]) == (a, b, False)
    changed = value["differences"][0]
    assert (changed["kind"], changed["before"], changed["after"], changed["request"]) == ("changed", 1, 1, "")
    assert changed["response"][0]["what"] == "text"
    assert value["differences"][-1]["before"] is None
    assert json.loads(run("--json", a, a).stdout)["equal"] is True


def test_only_one_side_is_compared_when_asked(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{name}.yaml", say("same", f"{name}.")) for name in ("x", "y")]
    assert run("--only", "request", *paths).exit_code == 0
    assert run("--only", "response", *paths).exit_code == 1


def test_ignored_path_is_no_difference(tmp_path: Path) -> None:
    paths = [
        write(tmp_path / f"{name}.yaml", interaction(CHAT, {"trace": {"id": name}}, b"{}"))
        for name in ("x", "y")
    ]
    assert run(*paths).exit_code == 1
    assert run("--ignore", "trace.id", *paths).exit_code == 0


def test_wrong_path_is_named(a: str) -> None:
    result = run("--ignore", "trace[x]", a, a)
    assert result.exit_code == 2
    assert "wiretape: --ignore: 'trace[x]' is no path" in result.stderr


def test_cassette_that_cannot_be_read_exits_with_2(a: str, tmp_path: Path) -> None:
    result = run("missing.yaml", a)
    assert (result.exit_code, result.stderr) == (2, "wiretape: missing.yaml: no such file\n")
    broken = tmp_path / "broken.yaml"
    broken.write_text("no cassette")
    assert run(a, str(broken)).exit_code == 2


def test_recorded_control_sequences_are_not_obeyed(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{n}.yaml", say("q", f"\x1b[31m{n}\u202e")) for n in (1, 2)]
    output = run(*paths).stdout
    assert "\x1b" not in output
    assert "\u202e" not in output


def test_help_gives_examples() -> None:
    result = run("--help")
    assert "Examples:\n" in result.output
    assert "    wiretape diff " in result.output or "  wiretape diff " in result.output


def test_one_cassette_is_a_usage_error(a: str) -> None:
    assert run(a).exit_code == 2


def test_declaring_the_command_brings_neither_the_library_nor_mitmproxy() -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); import proxy_cli.diff_command; print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules = set(done.stdout.split())
    assert not {"yaml", "mitmproxy", "cassette.diff"} & modules
