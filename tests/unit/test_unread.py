"""Clients that send and do not read: what we answer them does not fill the memory."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from mitmproxy.proxy.server import ConnectionHandler

from addons.compat import unread
from addons.compat.unread import MOST_UNREAD, bound_unread


class Writer:
    def __init__(self, unread_bytes: int) -> None:
        self.transport = SimpleNamespace(get_write_buffer_size=lambda: unread_bytes)
        self.drained = 0

    async def drain(self) -> None:
        self.drained += 1


async def _nothing(_handler: Any) -> None:
    """Stand for mitmproxy's own waiting."""


@pytest.mark.parametrize(
    ("unread_bytes", "reads_client", "waits"),
    [(MOST_UNREAD + 1, True, 1), (MOST_UNREAD, True, 0), (MOST_UNREAD + 1, False, 0)],
    ids=["too much", "not too much", "an upstream's reader"],
)
def test_reading_from_a_client_waits_until_it_reads(
    unread_bytes: int, reads_client: bool, waits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ConnectionHandler, "drain_writers", _nothing)
    bound_unread()
    writer = Writer(unread_bytes)

    async def read_once() -> None:
        task = asyncio.current_task() if reads_client else None
        handler: Any = SimpleNamespace(
            client="c", transports={"c": SimpleNamespace(handler=task, writer=writer)}
        )
        await ConnectionHandler.drain_writers(handler)

    asyncio.run(read_once())
    assert writer.drained == waits


def test_bound_is_installed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ConnectionHandler, "drain_writers", _nothing)
    unread.bound_unread()
    once: Any = ConnectionHandler.drain_writers
    unread.bound_unread()
    assert ConnectionHandler.drain_writers is once
