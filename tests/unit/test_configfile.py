from __future__ import annotations

from pathlib import Path

import pytest

from addons import configfile
from addons.errors import ConfigError


def refusal(tmp_path: Path, content: bytes) -> str:
    path = tmp_path / "w.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as refused:
        configfile.read(path)
    message = str(refused.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "w.yaml"
    path.write_text("hosts: [é.example.com]\n", encoding="utf-8")
    assert configfile.read(path) == {"hosts": ["é.example.com"]}


def test_a_file_with_nothing_but_comments_holds_no_settings(tmp_path: Path) -> None:
    path = tmp_path / "w.yaml"
    path.write_text("# nothing yet\n")
    assert configfile.read(path) == {}


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: cannot be read: No such file"):
        configfile.read(tmp_path / "nowhere.yaml")
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        configfile.read(tmp_path)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (
            b"hosts: [*.example.com]",
            'line 1: a text that begins with * needs quotes, for example "*.example.com"',
        ),
        (b"hosts:\n  - *.example.com", "line 2: a text that begins with * needs quotes"),
        (b"a: [1\n", "line 2: "),
        (b"a: 1\nb:\n  c: 1\n  c: 2\n", "line 4: the key 'c' stands there twice"),
        (b"- a\n", "holds no settings"),
        (b"text", "holds no settings"),
        (b"\xff\xfe\xff", "not YAML: "),
        (b"a: \x00", "not YAML: "),
        (b"a: 2020-13-01", "not YAML: "),
        (b"a: !!python/object:os.system {}", "line 1: "),
        (b"? [a]\n: b\n", "line 1: "),
    ],
)
def test_what_is_no_file_of_settings_is_refused(tmp_path: Path, content: bytes, told: str) -> None:
    assert refusal(tmp_path, content).startswith(told)


@pytest.mark.parametrize("name", ["default.yaml", "routers.yaml"])
def test_the_shipped_files_have_no_key_twice(name: str) -> None:
    path = Path(configfile.__file__).parent.parent / "config" / name
    assert configfile.read(path) == configfile.shipped(name)


def test_routers_are_sorted_within_their_groups() -> None:
    for group, entries in configfile.shipped("routers.yaml").items():
        hosts = [entry["host"] for entry in entries]
        if group != "local":
            assert hosts == sorted(hosts)
        assert all(set(entry) <= {"host", "provider", "credentials", "paths"} for entry in entries)
