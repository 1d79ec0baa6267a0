"""Fixtures of the tests that replay through a real mitmproxy, and what these tests share."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest

from tests.support import rawclient
from tests.support.golike import GoLikeClient
from tests.support.replaying import LISTED, ReplayingProxy, replaying
from tests.support.responses import TEXT
from tests.support.scripts import pieces
from tests.support.upstream import HTTP_1_ONLY, HTTP_2_FIRST, Upstream

URL = f"https://{LISTED}/v1/chat/completions"
BOTH = pytest.mark.parametrize("alpn", [HTTP_1_ONLY, HTTP_2_FIRST], ids=["http1", "http2"])
JSON = "application/json"
Test = TypeVar("Test", bound=Callable[..., None])


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    """Where requests would go; a connection to it is a broken promise unless a test says otherwise."""
    with Upstream(pieces(200, [("Content-Type", TEXT)], [b"from the upstream"])) as server:
        yield server


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Iterator[ReplayingProxy]:
    """The proxy, one for the tests of a module."""
    with replaying(tmp_path_factory.mktemp("replay"), upstream) as proxy:
        yield proxy


@pytest.fixture
def proxy(
    running: ReplayingProxy, caplog: pytest.LogCaptureFixture, request: pytest.FixtureRequest
) -> Iterator[ReplayingProxy]:
    """The proxy, in which nothing may have gone wrong unseen and no playback been left behind."""
    yield running
    assert running.loopback.waiting == 0
    wrong = [record.getMessage() for record in caplog.get_records("call") if record.levelno >= logging.ERROR]
    assert wrong == getattr(request.function, "errors", [])


@pytest.fixture
def alone(upstream: Upstream) -> Iterator[None]:
    """Nobody may connect to the upstream during the test."""
    before = upstream.connections
    yield
    assert upstream.connections == before


def logs(*errors: str) -> Callable[[Test], Test]:
    """Say what errors a test causes to be logged."""

    def note(test: Test) -> Test:
        test.errors = list(errors)  # type: ignore[attr-defined]
        return test

    return note


def client(proxy: ReplayingProxy, alpn: tuple[str, ...]) -> GoLikeClient:
    """Return a client that goes through the proxy."""
    session = proxy.as_session
    return GoLikeClient(proxy=session.proxy, ca_file=session.bundle, alpn=alpn)


def tunnel(proxy: ReplayingProxy) -> rawclient.Http1:
    """Return a connection through the proxy to the host that is replayed."""
    return rawclient.Http1(rawclient.tunnel(proxy.as_session, LISTED))
