from __future__ import annotations

import re
from pathlib import Path

import pytest

from addons.settings import Mode
from proxy_cli.plugin_names import (
    MODES,
    cassette_path,
    cassette_stem,
    default_mode,
    name_within_file,
    session_name,
)

ROOT = Path("/project")


def test_modes_are_those_of_the_settings() -> None:
    assert [mode.value for mode in Mode] == list(MODES)


@pytest.mark.parametrize(
    ("value", "mode"),
    [
        (None, "record-once"),
        ("", "record-once"),
        ("0", "record-once"),
        ("False", "record-once"),
        ("1", "replay-only"),
        ("true", "replay-only"),
        ("woodpecker", "replay-only"),
    ],
)
def test_ci_replays_only(value: str | None, mode: str) -> None:
    assert default_mode({} if value is None else {"CI": value}) == mode


@pytest.mark.parametrize(
    ("test", "stem"),
    [
        ("test_greets", "test_greets"),
        ("TestChat::test_greets", "TestChat.test_greets"),
        ("TestChat::test_greets[en]", "TestChat.test_greets-en"),
        ("test_greets[gpt-4.1-en]", "test_greets-gpt-4.1-en"),
    ],
)
def test_plain_names_stay_readable(test: str, stem: str) -> None:
    assert cassette_stem(test) == stem


def test_no_two_tests_share_a_cassette() -> None:
    tests = [
        "test_a",
        "test_a[]",
        "test_a[b]",
        "test_a[b c]",
        "test_a[b/c]",
        "test_a[b_c]",
        "test_a[b[c]]",
        "test_a[../../b]",
        "test_a[\u00e9]",
        "test_a[\u00e8]",
        "test_\u00e9",
        "test_\u00e8",
        "test_a[::]",
        "TestA::test_a",
        "test_a[" + "x" * 300 + "]",
        "test_a[" + "x" * 301 + "]",
    ]
    stems = [cassette_stem(test) for test in tests]
    assert len({stem.lower() for stem in stems}) == len(tests)
    assert all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,140}", stem) for stem in stems), stems


def test_cassette_lies_beside_the_test_file() -> None:
    path = cassette_path(ROOT / "tests/unit/test_chat.py", "test_a", ROOT, "")
    assert path == ROOT / "tests/unit/cassettes/test_chat/test_a.yaml"


def test_folder_of_the_users_keeps_modules_of_one_name_apart() -> None:
    paths = [
        cassette_path(ROOT / f"tests/{part}/test_chat.py", "test_a", ROOT, "tapes")
        for part in ("unit", "e2e")
    ]
    assert paths[0] == ROOT / "tapes/tests/unit/test_chat/test_a.yaml"
    assert paths[1] == ROOT / "tapes/tests/e2e/test_chat/test_a.yaml"
    assert cassette_path(ROOT / "test_chat.py", "test_a", ROOT, "/tapes") == Path(
        "/tapes/test_chat/test_a.yaml"
    )


def test_test_from_outside_of_the_root_has_a_place_in_the_users_folder() -> None:
    path = cassette_path(Path("/elsewhere/test_chat.py"), "test_a", ROOT, "tapes")
    assert path == ROOT / "tapes/test_chat/test_a.yaml"


@pytest.mark.parametrize(
    "test", ["test_a", "TestChat::test_a[b c]", "\u00e9", "x" * 300, "[", "test_a[" + "-" * 99]
)
def test_session_can_have_its_name(test: str) -> None:
    name = session_name(ROOT / "test_chat.py", test, "gw12-1234567-89")
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name)  # proxy_cli.registry
    assert name.startswith("test_chat")
    assert name.endswith("-gw12-1234567-89")


def test_name_within_file_keeps_class_and_parameters() -> None:
    assert (
        name_within_file("tests/test_chat.py::TestChat::test_a[x::y]", "test_a") == "TestChat::test_a[x::y]"
    )
    assert name_within_file("notes.txt", "notes.txt") == "notes.txt"
