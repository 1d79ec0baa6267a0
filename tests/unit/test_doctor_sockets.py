from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from proxy_cli.doctor_sockets import Connection, Row, Watch, parse_table
from tests.support.waiting import until

# sys.byteorder is little on all machines that run this; the words of an address are in the machine's order.
TABLE = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 11 1 0 100 0 0 10 0
   1: 0200A8C0:C350 22D8B85D:01BB 01 00000000:00000000 00:00000000 00000000     0        0 22 1 0 100 0 0 10 0
"""
TABLE_6 = """\
  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when
   0: 0000000000000000FFFF00000100007F:C351 0000000000000000FFFF00000200007F:1F91 02 0:0 00:0 0 0 0 33 1
   1: 00000000000000000000000001000000:C352 B80D0120000000000000000001000000:01BB 01 0:0 00:0 0 0 0 44 1
"""

linux = pytest.mark.skipif(not Watch.is_possible(), reason="there is no /proc here")

# Connects to the address given, in a process of its own, and stays until its input ends.
_CLIENT = (
    "import socket, sys\n"
    "kept = socket.create_connection((sys.argv[1], int(sys.argv[2])))\n"
    "print('connected', flush=True)\n"
    "sys.stdin.read()\n"
)


@pytest.mark.skipif(sys.byteorder != "little", reason="the tables are of a machine with little-endian words")
def test_tables_of_both_families_are_read() -> None:
    assert list(parse_table(TABLE)) == [
        Row(("127.0.0.1", 8080), ("0.0.0.0", 0), 10, 11),
        Row(("192.168.0.2", 50000), ("93.184.216.34", 443), 1, 22),
    ]
    assert list(parse_table(TABLE_6)) == [
        Row(("127.0.0.1", 50001), ("127.0.0.2", 8081), 2, 33),
        Row(("::1", 50002), ("2001:db8::1", 443), 1, 44),
    ]


def test_an_address_is_written_as_in_urls() -> None:
    assert Connection("2001:db8::1", 443, "tcp", 1, "x").address == "[2001:db8::1]:443"
    assert Connection("192.0.2.1", 443, "tcp", 1, "x").address == "192.0.2.1:443"


@pytest.fixture
def listeners() -> Iterator[list[socket.socket]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2)]


def _connect(server: socket.socket, *, below: bool = False) -> subprocess.Popen[bytes]:
    host, port = server.getsockname()
    command = [sys.executable, "-c", _CLIENT, host, str(port)]
    if below:
        command = [sys.executable, "-c", "import subprocess, sys; subprocess.run(sys.argv[1:])", *command]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


@linux
@pytest.mark.parametrize("below", [False, True], ids=["itself", "its child"])
def test_a_connection_past_the_proxy_is_found(below: bool, listeners: list[socket.socket]) -> None:
    proxy, other = listeners
    with _connect(other, below=below) as process, Watch(process.pid, proxy.getsockname()) as watch:
        try:
            until("the connection to be seen", lambda: watch.past)
        finally:
            assert process.stdin is not None
            process.stdin.close()
    [found] = watch.past.values()
    assert (found.host, found.port, found.protocol) == (*other.getsockname(), "tcp")
    assert found.process.startswith("python")
    assert (found.pid == process.pid) is not below


@linux
def test_a_connection_to_the_proxy_is_none_past_it(listeners: list[socket.socket]) -> None:
    proxy, other = listeners
    # The second one, whose connection is found, shows that the watch has looked meanwhile.
    with _connect(proxy) as good, Watch(good.pid, proxy.getsockname()) as watch:
        assert good.stdout is not None
        assert good.stdin is not None
        try:
            assert good.stdout.readline() == b"connected\n"
            with _connect(other) as bad, Watch(bad.pid, proxy.getsockname()) as second:
                try:
                    until("the other connection to be seen", lambda: second.past)
                finally:
                    assert bad.stdin is not None
                    bad.stdin.close()
        finally:
            good.stdin.close()
    assert watch.past == {}
