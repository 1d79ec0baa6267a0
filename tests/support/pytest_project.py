"""A project of a user's with tests in it, and the pytest that runs them with our plugin."""

from __future__ import annotations

import importlib.metadata
import textwrap
from pathlib import Path

import pytest

from cassette.store import load
from tests.support.upstream import Upstream

HOST = "api.openai.com"
INSTALLED = any(point.name == "wiretape" for point in importlib.metadata.entry_points(group="pytest11"))

# With an opener of its own: the one of urlopen keeps the proxy of the test in which it was made.
CLIENT = f"""
    import os, subprocess, sys, urllib.error, urllib.request
    import pytest

    def ask(path="/v1/models", body=None):
        request = urllib.request.Request("https://{HOST}" + path, body and body.encode())
        try:
            with urllib.request.build_opener().open(request, timeout=30) as response:
                return response.read().decode()
        except urllib.error.HTTPError as error:
            return f"{{error.code}}"
"""


class Project:
    """A project of a user's: test files, and the pytest that runs them."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self._pytester = pytester
        self.folder = pytester.path
        self.marker = ""
        """Arguments of the marker that lead to the upstream."""

    def use(self, upstream: Upstream) -> None:
        """Have requests go to this upstream."""
        self.marker = f"connect_to={upstream.connect_to()!r}, upstream_ca={str(upstream.ca_file)!r}"

    def write(self, code: str, name: str = "test_chat") -> None:
        """Write a test file; `MARKED` in it is the marker with the way to the upstream."""
        text = textwrap.dedent(CLIENT) + textwrap.dedent(code).replace(
            "MARKED", f"pytest.mark.wiretape({self.marker})"
        )
        self._pytester.makepyfile(**{name: text})

    def run(self, *arguments: str) -> pytest.RunResult:
        """Run pytest in a process of its own."""
        # Hypothesis takes a second to load.
        plugins = ["-p", "no:hypothesispytest", *([] if INSTALLED else ["-p", "proxy_cli.pytest_plugin"])]
        return self._pytester.runpytest_subprocess(
            *plugins, "-p", "no:cacheprovider", *arguments, timeout=120
        )

    def cassette(self, test: str, module: str = "test_chat") -> Path:
        """Say where a test's cassette is."""
        return self.folder / "cassettes" / module / f"{test}.yaml"

    def recorded(self, test: str, module: str = "test_chat") -> list[str]:
        """Return the response bodies in a test's cassette."""
        return [one.response.body.decode() for one in load(self.cassette(test, module)).interactions]


def said(result: pytest.RunResult) -> str:
    """Return all that a pytest printed."""
    return result.stdout.str() + result.stderr.str()
