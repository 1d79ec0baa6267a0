"""The README names everything that can be set: a setting that nobody can find is none."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from _pytest.mark import ParameterSet

from proxy_cli.cli import main
from proxy_cli.variables import VARIABLES
from tests.matrix.rows import AGENTS, ROWS

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()


def options(command: click.Command, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(command, click.Group):
        for child_name, child in command.commands.items():
            yield from options(child, f"{name} {child_name}")
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            for text in parameter.opts:
                if text.startswith("--") and text not in ("--help", "--version"):
                    yield name, text


def commands(command: click.Command, name: str) -> Iterator[ParameterSet]:
    yield pytest.param(command, name, id=name)
    if isinstance(command, click.Group):
        for child_name, child in command.commands.items():
            yield from commands(child, f"{name} {child_name}")


@pytest.mark.parametrize(("command", "name"), list(commands(main, "wiretape")))
def test_help_of_every_command_has_an_example(command: click.Command, name: str) -> None:
    context = click.Context(command, info_name=name)
    examples = [
        line for line in command.get_help(context).splitlines()[1:] if re.search(rf"^\s.*{name}\b", line)
    ]
    assert examples


@pytest.mark.parametrize(("command", "option"), sorted(set(options(main, "wiretape"))))
def test_readme_names_the_option(command: str, option: str) -> None:
    # `logs --follow` is shown as `logs -f`, and so on: a short name will do.
    shorts = {"--follow": "logs -f", "--lines": "-n N", "--quiet": "-q"}
    assert re.search(rf"{re.escape(option)}\b", README) or shorts.get(option, "\0") in README, (
        f"{command} {option} is not in the README"
    )


@pytest.mark.parametrize("command", sorted(main.commands))
def test_readme_names_the_command(command: str) -> None:
    assert f"wiretape {command}" in README


def setting_paths(values: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in values.items():
        path = f"{prefix}{key}"
        if isinstance(value, dict) and value and path != "headers":
            yield from setting_paths(value, f"{path}.")
        elif path == "headers":
            yield from (f"headers.{side}" for side in value)
        else:
            yield path


@pytest.mark.parametrize(
    "path", sorted(setting_paths(yaml.safe_load((ROOT / "config/default.yaml").read_text())))
)
def test_readme_names_the_setting(path: str) -> None:
    assert f"`{path}`" in README


@pytest.mark.parametrize("variable", sorted([*VARIABLES, "WIRETAPE_CONFIG", "WIRETAPE_HOME"]))
def test_readme_names_the_variable(variable: str) -> None:
    assert variable in README


def test_links_within_the_readme_lead_somewhere() -> None:
    headings = {
        re.sub(r"[^a-z0-9 -]", "", line.lstrip("# ").lower()).replace(" ", "-")
        for line in README.splitlines()
        if line.startswith("#")
    }
    wanted = set(re.findall(r"\]\(#([^)]+)\)", README))
    assert wanted <= headings
    assert all((ROOT / path).exists() for path in re.findall(r"\]\((config/[^)]+)\)", README))


def test_table_of_clients_is_that_of_the_matrix() -> None:
    lines = README.partition("\n## Clients\n")[2].partition("\n## ")[0].splitlines()
    rows = [[cell.strip() for cell in line.split(" | ")] for line in lines if line.startswith("| ")][2:]
    names = [row.name for row in ROWS] + [agent.name for agent in AGENTS] + ["git, clone"]
    assert [row[0].removeprefix("| ") for row in rows] == names
    said = {(row[3], row[4]) for row in rows}
    # A line that says no would be a fault to mend, not one to print.
    assert said <= {("yes", "yes"), ("-", "yes"), ("-", "-")}
