from __future__ import annotations

import pytest

from proxy_cli.env_undo import SAVED_VARIABLE, saved, undone, with_saved


def test_what_is_replaced_is_put_back_and_what_is_new_removed() -> None:
    user = {"A": "theirs", "C": "unrelated"}
    shell = user | with_saved({"A": "ours", "B": "ours"}, user)
    assert undone(shell) == {"A": "theirs", "B": None, SAVED_VARIABLE: None}


def test_setting_them_twice_keeps_the_first_values() -> None:
    user = {"A": "theirs", "C": "also"}
    shell = user | with_saved({"A": "ours"}, user)
    shell |= with_saved({"A": "again", "C": "ours"}, shell)
    assert undone(shell) == {"A": "theirs", "C": "also", SAVED_VARIABLE: None}


def test_there_is_nothing_to_undo_in_a_shell_that_has_none_of_ours() -> None:
    assert undone({"A": "theirs"}) == {}


@pytest.mark.parametrize("text", ["", "nonsense", "[]", '{"A": 1}', "null"])
def test_a_variable_that_is_not_of_our_making_is_ignored(text: str) -> None:
    assert saved({SAVED_VARIABLE: text}) == {}
