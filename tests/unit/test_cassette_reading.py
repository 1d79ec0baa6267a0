"""What `ls`, `show` and `verify` print for real files, through the commands that people type."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click import Command
from click.testing import CliRunner, Result

from cassette.codec import dumps
from cassette.model import Cassette, Interaction, Layout
from proxy_cli.cassette_commands import ls, show, verify
from tests.support.shared import SHARED, needs_shared
from tests.support.talk import interaction

URL = "https://api.example.com/v1/chat/completions"
KEY = "sk-" + "proj-" + "a1B2" * 10


def say(text: str) -> Interaction:
    answer = {"choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}]}
    return interaction(URL, {"model": "gpt", "messages": [{"role": "user", "content": "Hi"}]}, answer)


def write(path: Path, *interactions: Interaction, layout: Layout = Layout.CHARM) -> str:
    numbered = tuple(replace(item, id=number) for number, item in enumerate(interactions))
    path.write_bytes(dumps(Cassette(numbered, layout=layout)))
    return str(path)


@pytest.fixture
def two(tmp_path: Path) -> str:
    return write(tmp_path / "two.yaml", say("First."), say("Second."))


def run(command: Command, *arguments: str) -> Result:
    return CliRunner().invoke(command, list(arguments), catch_exceptions=False)


def test_ls_prints_a_line_per_interaction(two: str) -> None:
    result = run(ls, two)
    assert result.exit_code == 0
    assert [line.split()[:4] for line in result.stdout.splitlines()] == [
        ["ID", "METHOD", "STATUS", "MODEL"],
        ["0", "POST", "200", "gpt"],
        ["1", "POST", "200", "gpt"],
    ]


def test_ls_of_several_cassettes_names_each(two: str, tmp_path: Path) -> None:
    empty = write(tmp_path / "empty.yaml")
    lines = run(ls, two, empty).stdout.splitlines()
    assert lines[0] == two
    assert lines[-2:] == [empty, "no interactions"]


def test_ls_goes_on_after_a_file_that_is_missing(two: str) -> None:
    result = run(ls, "missing.yaml", two)
    assert result.exit_code == 2
    assert result.stderr == "wiretape: missing.yaml: no such file\n"
    assert "gpt" in result.stdout


def test_ls_writes_json(two: str) -> None:
    value = json.loads(run(ls, "--json", two).stdout)
    (listed,) = value["cassettes"]
    assert (listed["path"], listed["layout"]) == (two, "charm")
    assert [item["id"] for item in listed["interactions"]] == [0, 1]


def test_show_without_an_id_shows_all_under_headings(two: str) -> None:
    output = run(show, two).stdout
    assert f"{two}  interaction 0\n" in output
    assert f"{two}  interaction 1\n" in output
    assert output.index("First.") < output.index("Second.")


def test_show_of_the_only_interaction_has_no_heading(tmp_path: Path) -> None:
    output = run(show, write(tmp_path / "one.yaml", say("Hello."))).stdout
    assert output.startswith(f"POST {URL}\n")
    assert "  Hello.\n" in output


def test_show_with_an_id_shows_that_one(two: str) -> None:
    output = run(show, two, "1").stdout
    assert "Second." in output
    assert "First." not in output


def test_show_of_an_id_that_is_not_there_names_those_that_are(two: str) -> None:
    result = run(show, two, "7")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"wiretape: {two}: no interaction 7; the IDs go from 0 to 1\n"


def test_show_of_an_empty_cassette_says_so(tmp_path: Path) -> None:
    empty = write(tmp_path / "empty.yaml")
    assert run(show, empty).stdout == "no interactions\n"
    assert "it holds none" in run(show, empty, "0").stderr


def test_show_writes_json(two: str) -> None:
    value = json.loads(run(show, two, "1", "--json").stdout)
    assert value["path"] == two
    (item,) = value["interactions"]
    assert item["conversation"]["answer"][0]["text"] == "Second."


def test_raw_writes_the_bytes_of_a_body_and_nothing_else(tmp_path: Path) -> None:
    body = bytes(range(256)) + b"\r\n\x1b[31m"
    path = write(tmp_path / "raw.yaml", interaction(URL, b"\xff request", body))
    assert run(show, path, "--raw").stdout_bytes == body
    assert run(show, path, "0", "--raw-request").stdout_bytes == b"\xff request"


def test_raw_of_several_interactions_asks_which(two: str) -> None:
    result = run(show, two, "--raw")
    assert (result.exit_code, result.stdout_bytes) == (2, b"")
    assert result.stderr == f"wiretape: {two}: holds 2 interactions; say which one, by its ID\n"
    assert b"Second." in run(show, two, "1", "--raw").stdout_bytes


@pytest.mark.parametrize("command", [ls, show], ids=["ls", "show"])
def test_file_that_is_no_cassette_is_one_line_on_stderr(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "else.yaml"
    path.write_text("hello: world\n")
    result = run(command, str(path))
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"wiretape: {path}: not a cassette: ")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("command", [ls, show, verify], ids=["ls", "show", "verify"])
def test_folder_is_no_cassette(command: Command, tmp_path: Path) -> None:
    result = run(command, str(tmp_path))
    assert result.exit_code == 2
    assert result.stderr.startswith(f"wiretape: {tmp_path}: ")
    assert result.stderr.count("\n") == 1


def test_name_of_a_missing_file_is_escaped() -> None:
    assert run(ls, "\x1b[2J.yaml").stderr == "wiretape: \\x1b[2J.yaml: no such file\n"


def test_verify_of_good_cassettes_says_so_and_exits_with_zero(two: str, tmp_path: Path) -> None:
    other = write(tmp_path / "other.yaml", say("x"), layout=Layout.GO_VCR)
    result = run(verify, two, other)
    assert (result.exit_code, result.stdout) == (0, "2 cassettes checked, no findings\n")


def test_quiet_verify_of_a_good_cassette_says_nothing(two: str) -> None:
    result = run(verify, "-q", two)
    assert (result.exit_code, result.output) == (0, "")


@pytest.mark.parametrize("options", [[], ["-q"]])
def test_verify_prints_findings_like_a_linter_and_exits_with_one(
    options: list[str], two: str, tmp_path: Path
) -> None:
    bad = write(tmp_path / "bad.yaml", say("x"), say(f"the key is {KEY}"))
    result = run(verify, *options, two, bad)
    line = next(n for n, text in enumerate(Path(bad).read_text().splitlines(), 1) if KEY in text)
    found, summary = result.stdout.splitlines()
    assert found.startswith(f"{bad}:{line}: interaction 1: response.body: looks like a credential (openai)")
    assert summary == "2 cassettes checked, 1 finding in 1 of them"
    assert result.exit_code == 1
    assert KEY not in result.output


def test_verify_of_a_file_that_is_no_cassette_exits_with_one(tmp_path: Path) -> None:
    path = tmp_path / "else.yaml"
    path.write_text("hello: world\n")
    result = run(verify, str(path))
    assert result.exit_code == 1
    assert result.stdout.startswith(f"{path}:")


def test_verify_of_a_missing_file_exits_with_two_and_checks_the_others(two: str) -> None:
    result = run(verify, "missing.yaml", two)
    assert result.exit_code == 2
    assert result.stderr == "wiretape: missing.yaml: cannot be read: No such file or directory\n"
    assert result.stdout == "1 cassette checked, no findings\n"


def test_verify_accepts_another_layout_when_told_to(two: str) -> None:
    path = Path(two)
    path.write_bytes(path.read_bytes().replace(b"method: POST", b"method: 'POST'"))
    assert run(verify, two).exit_code == 1
    assert run(verify, "--any-layout", two).exit_code == 0


def test_verify_writes_json(two: str, tmp_path: Path) -> None:
    bad = write(tmp_path / "bad.yaml", say(KEY))
    result = run(verify, "--json", two, bad)
    value = json.loads(result.stdout)
    assert result.exit_code == 1
    assert value["clean"] is False
    good, found = value["cassettes"]
    assert good == {"path": two, "clean": True, "findings": []}
    assert [finding["kind"] for finding in found["findings"]] == ["credential"]
    assert KEY not in result.output


def test_characters_that_stdout_cannot_take_are_escaped(tmp_path: Path) -> None:
    path = write(tmp_path / "one.yaml", say("東京"))
    runner = CliRunner(charset="ascii")
    result = runner.invoke(show, [path], catch_exceptions=False)
    assert result.exit_code == 0
    assert b"\\u6771\\u4eac" in result.stdout_bytes


@needs_shared
def test_every_command_reads_the_seed() -> None:
    assert SHARED is not None
    seed = str(SHARED / "corpus" / "seed.yaml")
    assert "Qwen/Qwen3-Coder" in run(ls, seed).stdout
    assert "The sum of 2 and 3 is 5, and the product of 2 and 3 is 6." in run(show, seed, "1").stdout
    assert run(verify, seed).exit_code == 0
