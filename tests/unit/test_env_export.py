from __future__ import annotations

import re
import shlex
from pathlib import Path, PurePosixPath

import pytest

from proxy_cli.env_export import docker_arguments, docker_proxy, github_lines, github_masks


def test_github_gets_plain_lines_and_nothing_that_it_refuses() -> None:
    assert github_lines({"A": "b c='d'", "NODE_OPTIONS": "--require=x"}) == "A=b c='d'\n"


def test_github_gets_several_lines_between_words_that_differ_each_time() -> None:
    value = "one\nEOF\ntwo"
    first, second = github_lines({"A": value}), github_lines({"A": value})
    match = re.fullmatch(r"A<<(\w{20,})\none\nEOF\ntwo\n\1\n", first)
    assert match is not None
    assert match[1] not in second


def test_github_masks_the_password_as_it_is_and_as_it_stands_in_urls() -> None:
    assert github_masks("http://127.0.0.1:80") == []
    assert github_masks("http://me:a%40b@127.0.0.1:80") == ["::add-mask::a@b", "::add-mask::a%2540b"]
    assert github_masks("http://me:word@127.0.0.1:80") == ["::add-mask::word"]


@pytest.mark.parametrize(
    ("proxy", "listen", "reached"),
    [
        ("http://127.0.0.1:80", "127.0.0.1", "http://host.docker.internal:80"),
        ("http://me:a%40b@127.0.0.1:80", "0.0.0.0", "http://me:a%40b@host.docker.internal:80"),
        ("http://me:x@[::1]:80", "::", "http://me:x@host.docker.internal:80"),
        ("http://me:x@192.0.2.7:80", "192.0.2.7", "http://me:x@192.0.2.7:80"),
    ],
)
def test_a_container_finds_the_listener_by_the_name_of_the_machine(
    proxy: str, listen: str, reached: str
) -> None:
    assert docker_proxy(proxy, listen) == reached


def test_docker_reads_the_arguments_back_whatever_is_in_them() -> None:
    text = docker_arguments({"A": "b c 'd'", "E": ""}, {Path("/a b/f.pem"): PurePosixPath("/etc/w/f.pem")})
    assert text.count("\n") == 1
    assert shlex.split(text) == [
        "--add-host=host.docker.internal:host-gateway",
        *("-v", "/a b/f.pem:/etc/w/f.pem:ro"),
        *("-e", "A=b c 'd'"),
        *("-e", "E="),
    ]
