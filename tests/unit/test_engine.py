from __future__ import annotations

import asyncio
import contextlib
import socket

import pytest

from addons.engine import bind
from addons.errors import StartError


def test_accepted_connections_send_without_waiting_for_acknowledgements() -> None:
    async def nodelay_of_an_accepted_connection() -> int:
        accepted: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def accept(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            end: socket.socket = writer.get_extra_info("socket")
            accepted.set_result(end.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        listener = bind(0)
        async with await asyncio.start_server(accept, sock=listener):
            _reader, writer = await asyncio.open_connection(*listener.getsockname())
            found = await asyncio.wait_for(accepted, 10)
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
            return found

    assert asyncio.run(nodelay_of_an_accepted_connection()) != 0


def test_listeners_are_on_loopback_only() -> None:
    with bind(0) as listener:
        assert listener.getsockname()[0] == "127.0.0.1"


def test_a_busy_port_is_refused_with_what_to_do() -> None:
    with bind(0) as taken:
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(StartError, match=rf"port {port} cannot be used: .* --port"):
            bind(port)


@pytest.mark.skipif(not hasattr(socket, "SO_REUSEPORT"), reason="this system shares no ports")
def test_shared_port_is_shared_with_those_who_share_it_only() -> None:
    with bind(0, shared=True) as first:
        first.listen()
        port = first.getsockname()[1]
        bind(port, shared=True).close()
        with pytest.raises(StartError, match=rf"port {port} cannot be used"):
            bind(port)
