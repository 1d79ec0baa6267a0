"""What the end-to-end tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.toolchains import curl as curl
from tests.support.toolchains import go_client as go_client
from tests.support.toolchains import node_environment as node_environment
from tests.support.toolchains import sdk_python as sdk_python
from tests.support.toolchains import tool_cache as tool_cache
from tests.support.wiretape import Wiretape


@pytest.fixture
def wiretape(tmp_path: Path) -> Iterator[Wiretape]:
    """The command, with a home and a daemon for this test alone."""
    with Wiretape(tmp_path) as command:
        yield command
