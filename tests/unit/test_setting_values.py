from __future__ import annotations

from pathlib import Path

import pytest

from addons import setting_values


def test_a_size_is_a_number_of_bytes_or_has_a_unit() -> None:
    assert setting_values.size(1048576) == setting_values.size("1MiB") == setting_values.size(" 1024 kib ")
    assert setting_values.size("2TB") == 2 * 10**12


def test_a_duration_may_be_text_since_variables_are() -> None:
    assert setting_values.seconds("1.5") == setting_values.seconds(1.5) == 1.5
    assert setting_values.seconds(0) == 0


def test_a_host_pattern_comes_back_in_its_one_spelling() -> None:
    assert setting_values.host_pattern("API.Example.com.:0443") == "api.example.com:443"


def test_replacements_keep_their_order() -> None:
    assert setting_values.replacements({"b": "1", "a-*": ""}) == (("b", "1"), ("a-*", ""))


def test_no_proxy_and_no_certificates_are_none() -> None:
    assert setting_values.upstream_proxy(None) is None
    assert setting_values.certificates(None, Path()) is None


def test_a_long_wrong_value_is_not_shown() -> None:
    with pytest.raises(ValueError, match=r"not a text$"):
        setting_values.one_of("a", "b")("x" * 100)


def test_number_of_workers_may_be_text_or_left_to_the_machine() -> None:
    assert setting_values.workers("2") == setting_values.workers(2) == 2
    assert setting_values.workers("auto") >= 1
    for value in (0, "0", -1, 65, 1.5, True, None, "many"):
        with pytest.raises(ValueError, match=r"expected a number from 1 to 64 or auto"):
            setting_values.workers(value)
