"""Paths into JSON: what they mean, what is none, and that a wrong one is named."""

from __future__ import annotations

import pytest

from cassette.jsonpaths import AnyItem, AnyName, PathNode, Step, format_path, parse_path, path_tree


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("user", ("user",)),
        ("metadata.user_id", ("metadata", "user_id")),
        ("messages[*].id", ("messages", AnyItem(), "id")),
        ("$.messages[0]", ("messages", 0)),
        ("$[0].a", (0, "a")),
        ("[*]", (AnyItem(),)),
        ("*", (AnyName(),)),
        ("a.*.b", ("a", AnyName(), "b")),
        ("a.*[*]", ("a", AnyName(), AnyItem())),
        ('headers["x.y"].z', ("headers", "x.y", "z")),
        (r'a["\"\u00e9"]', ("a", '"é')),
        ("x-request-id", ("x-request-id",)),
        ("$schema", ("$schema",)),
        ("$", ("$",)),
    ],
)
def test_path_means_its_steps(text: str, steps: tuple[Step, ...]) -> None:
    assert parse_path(text) == steps


@pytest.mark.parametrize(
    "text",
    ["", "$.", ".a", "a.", "a..b", "a[", "a[x]", "a[-1]", "a]b", "a b", "[0]a", "a*", '["\\q"]', "a[**]"],
)
def test_what_is_no_path_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="path") as raised:
        parse_path(text)
    assert not text or repr(text) in str(raised.value)


@pytest.mark.parametrize("steps", [("a", 0, "b"), (0,), ("x.y", "", "é", "$", "*"), ("a b", '"')])
def test_formatted_path_is_read_back(steps: tuple[str | int, ...]) -> None:
    assert parse_path(format_path(steps)) == steps


def test_path_of_the_root_is_a_dollar() -> None:
    assert format_path(()) == "$"


def marks(root: PathNode[str], *steps: str | int) -> list[str]:
    node: PathNode[str] | None = root
    for step in steps:
        assert node is not None
        node = node.at_name(step) if isinstance(step, str) else node.at_item(step)
    return [] if node is None else sorted(node.marks)


def test_named_and_any_lead_to_the_same_place() -> None:
    tree = path_tree([("a.x", "1"), ("*.x", "2"), ("a[0]", "3"), ("a[*]", "4"), ("a.x", "5")])
    assert marks(tree, "a", "x") == ["1", "2", "5"]
    assert marks(tree, "b", "x") == ["2"]
    assert marks(tree, "a", 0) == ["3", "4"]
    assert marks(tree, "a", 1) == ["4"]
    assert marks(tree, "a") == []


def test_place_that_no_path_leads_to_has_no_node() -> None:
    tree = path_tree([("a[*].x", "1")])
    assert tree.at_name("b") is None
    assert tree.at_item(0) is None
