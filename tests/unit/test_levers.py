"""Which levers are wanted, as the environment says."""

from __future__ import annotations

from pathlib import Path

import pytest

from addons import compat, levers

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()


def test_all_are_wanted_when_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(levers.VARIABLE, raising=False)
    assert all(levers.is_wanted(name) for name in levers.NAMES)
    assert levers.interpreter_options() == ["-O"]


def test_those_that_are_named_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(levers.VARIABLE, "relay, asserts")
    assert [name for name in levers.NAMES if levers.is_wanted(name)] == ["hooks", "cork", "reading", "frames"]
    assert levers.interpreter_options() == []


def test_all_can_be_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(levers.VARIABLE, "all")
    assert not any(levers.is_wanted(name) for name in levers.NAMES)


def test_every_lever_has_a_name_that_the_readme_knows() -> None:
    assert {lever.name for lever in compat._LEVERS} | {levers.ASSERTS} == set(levers.NAMES)
    assert levers.VARIABLE in README
    assert all(f"`{name}`" in README for name in levers.NAMES)


def test_make_leaves_out_every_lever() -> None:
    (line,) = [
        one for one in (ROOT / "Makefile").read_text().splitlines() if one.startswith("levers: LEVERS ?=")
    ]
    assert line.partition("?=")[2].split() == [*levers.NAMES, levers.ALL]
