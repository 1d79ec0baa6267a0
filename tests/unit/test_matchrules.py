"""The rules as data: they travel as JSON, and what is wrong in them is named."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from cassette.matchrules import EVERYTHING_VOLATILE, VOLATILE, MatchRules


def found(name: str, text: str) -> list[str]:
    return [match[0] for match in re.finditer(VOLATILE[name].expression, text)]


def test_rules_come_back_from_json() -> None:
    rules = MatchRules(
        ignore_paths=("metadata.user_id", "messages[*].id"),
        ignore_query=("api-version",),
        volatile=("uuid", "date"),
        patterns=(("build", r"b[0-9]+"),),
        profiles=("openai-chat", "gemini"),
    )
    assert MatchRules.from_json(json.loads(json.dumps(rules.to_json()))) == rules
    assert MatchRules.from_json(MatchRules().to_json()) == MatchRules()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"ignore_paths": ("messages[x].id",)}, "messages[x].id"),
        ({"volatile": ("guid",)}, "guid"),
        ({"profiles": ("openai",)}, "openai"),
        ({"patterns": (("mine", "(["),)}, "mine"),
        ({"patterns": (("all", "x*"),)}, "all"),
        ({"patterns": (("uuid", "x"),)}, "uuid"),
        ({"patterns": (("<a>", "x"),)}, "<a>"),
    ],
)
def test_wrong_rule_is_named(arguments: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=re.escape(named)):
        MatchRules(**arguments)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("uuid", "id 123e4567-e89b-12d3-a456-426614174000.", ["123e4567-e89b-12d3-a456-426614174000"]),
        ("uuid", "x123e4567-e89b-12d3-a456-426614174000", []),
        ("uuid", "123e4567-e89b-12d3-a456-4266141740001", []),
        ("date", "Today is 2026-08-01, tomorrow 2026-08-02", ["2026-08-01", "2026-08-02"]),
        ("date", "version 2026-13-01, 12026-08-01, 2026-08-011", []),
        ("timestamp", "at 2026-08-01T10:00:00.123Z on", ["2026-08-01T10:00:00.123Z"]),
        ("timestamp", "at 2026-08-01 10:00:00+02:00", ["2026-08-01 10:00:00+02:00"]),
        ("timestamp", "on 2026-08-01", []),
        ("call-id", "call_abc123def456ghi7 failed", ["_abc123def456ghi7"]),
        ("call-id", "toolu_bdrk_01RiGtttFSGiqX2bR4", ["_bdrk_01RiGtttFSGiqX2bR4"]),
        ("call-id", "chatcmpl-9AbCdEfGhIjKlMn", ["-9AbCdEfGhIjKlMn"]),
        ("call-id", "recall_abc123def456ghi7", []),
        ("call-id", "call_me_when_it_is_done", []),
        ("call-id", "call_12", []),
    ],
)
def test_built_in_pattern_finds_what_it_is_named_after(name: str, text: str, expected: list[str]) -> None:
    assert found(name, text) == expected
    assert not expected or re.search(VOLATILE[name].hint, text)


def test_nothing_within_texts_is_volatile_unless_asked_for() -> None:
    assert MatchRules().volatile == ()
    assert set(EVERYTHING_VOLATILE.volatile) == set(VOLATILE)
