"""The container's recipes name what is there: files, options, the settings' variables."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import yaml

from proxy_cli.cli import main, start
from proxy_cli.variables import VARIABLES

ROOT = Path(__file__).resolve().parents[2]


def test_recipe_copies_what_the_wheel_needs() -> None:
    recipe = (ROOT / "Dockerfile").read_text()
    copied = {word for line in re.findall(r"^COPY (?!--)(.*)$", recipe, re.M) for word in line.split()[:-1]}
    assert all((ROOT / name).exists() for name in copied)
    project = (ROOT / "pyproject.toml").read_text()
    (packages,) = re.findall(r"^packages = \[(.*)\]$", project, re.M)
    assert set(re.findall(r'"(\w+)"', packages)) <= copied


def test_recipe_runs_as_somebody_else_than_root_and_sets_known_variables() -> None:
    recipe = (ROOT / "Dockerfile").read_text()
    assert recipe.index("USER wiretape") < recipe.index("ENTRYPOINT")
    named = set(re.findall(r"WIRETAPE_\w+", recipe)) - {"WIRETAPE_HOME"}
    assert named <= set(VARIABLES)


def test_command_of_the_compose_example_can_be_parsed() -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    (script,) = services["wiretape"]["command"]
    line = next(line for line in script.splitlines() if line.startswith("exec wiretape "))
    name, *arguments = shlex.split(line)[2:]
    assert main.commands[name] is start
    context = click.Context(start)
    start.parse_args(context, arguments)
    assert context.params["foreground"]
    assert context.params["port"] == 8899
    assert ":8899" in services["app"]["environment"]["HTTPS_PROXY"]
