"""DATA frames without objects against hyper-h2's own: the same bytes and the same windows, whatever is sent."""

from __future__ import annotations

import pytest
from h2.connection import H2Connection
from h2.exceptions import ProtocolError
from hyperframe.frame import DataFrame
from hypothesis import given
from hypothesis import strategies as st
from mitmproxy.proxy.layers.http._http_h2 import BufferedH2Connection

from addons.compat import speed_data
from addons.compat.speed_data import HEAD, PLAIN, Buffered, Incoming, Outgoing

SIZES = st.lists(st.one_of(st.integers(0, 300), st.integers(0, 40_000)), max_size=30)


def ends(length: int | None = None) -> tuple[BufferedH2Connection, BufferedH2Connection]:
    """Both ends of a connection in the middle of a body on stream 1, of a length or none."""
    client, server = speed_data._between()
    client.streams[1]._expected_content_length = length
    return client, server


def windows(client: H2Connection, server: H2Connection) -> list[object]:
    return speed_data._counters(client, server)


def test_hyper_h2_is_as_expected() -> None:
    speed_data.check()


@given(SIZES)
def test_frames_that_are_sent_are_hyper_h2s(sizes: list[int]) -> None:
    (client, theirs), (_, ours) = ends(), ends()
    outgoing = Outgoing(ours, 1)
    sent, out = b"", list[bytes]()
    for size in sizes:  # up to a megabyte: more than what the client's windows let through
        theirs.send_data(1, b"x" * size)
        outgoing.send(b"x" * size, out)
        sent = theirs.data_to_send()
        assert speed_data.ready(ours) + b"".join(out) == sent
        out.clear()
    assert windows(client, ours) == windows(client, theirs)
    assert {key: list(one) for key, one in ours.stream_buffers.items()} == {
        key: list(one) for key, one in theirs.stream_buffers.items()
    }


@given(SIZES, st.none() | st.integers(0, 200_000))
def test_frames_that_are_received_count_as_hyper_h2_counts_them(sizes: list[int], length: int | None) -> None:
    (theirs, server), (ours, _) = ends(length), ends(length)
    incoming = Incoming(ours, 1)
    for size in sizes:
        before = windows(ours, server)
        if not incoming.take(size):
            assert windows(ours, server) == before
            if size:
                with pytest.raises(ProtocolError):
                    theirs.receive_data(DataFrame(1, b"x" * size).serialize())
            return
        theirs.receive_data(DataFrame(1, b"x" * size).serialize())
        assert windows(ours, server) == windows(theirs, server)


def test_frame_that_is_longer_than_the_window_is_left_to_hyper_h2() -> None:
    client, _ = ends()
    client.streams[1]._inbound_window_manager.current_window_size = 5
    assert not Incoming(client, 1).take(6)
    assert Incoming(client, 1).take(5)


@pytest.mark.parametrize("flag", ["END_STREAM", "PADDED"])
def test_last_and_padded_frames_are_told_from_plain_ones(flag: str) -> None:
    assert HEAD.unpack_from(DataFrame(1, b"x").serialize())[2] == PLAIN
    assert HEAD.unpack_from(DataFrame(1, b"x", flags=[flag]).serialize())[2] != PLAIN


@given(st.integers(1, 308))
def test_frame_that_is_cut_can_be_read_here_and_there(cut: int) -> None:
    client, _ = ends()
    buffered = Buffered(client)
    frame = DataFrame(1, b"x" * 300).serialize()
    assert client.receive_data(frame[:cut]) == []
    begun = buffered.take()
    assert begun == frame[:cut]
    assert buffered.take() == b""
    buffered.put(begun)
    (event,) = client.receive_data(frame[cut:])
    assert event.data == b"x" * 300


def test_body_is_closed_behind_its_end_and_behind_a_reset() -> None:
    client, server = ends()
    incoming, outgoing = Incoming(client, 1), Outgoing(server, 1)
    assert incoming.is_open()
    assert outgoing.is_open()
    server.end_stream(1)
    assert not outgoing.is_open()
    client.reset_stream(1)
    assert not incoming.is_open()


def test_connection_is_not_open_in_the_middle_of_a_head_or_once_it_is_closed() -> None:
    client, server = ends()
    assert speed_data.is_open(client)
    assert speed_data.is_open(server)
    client.receive_data(b"\0\0\1\1\0\0\0\0\1\x88")  # HEADERS without END_HEADERS
    assert not speed_data.is_open(client)
    server.close_connection()
    assert not speed_data.is_open(server)
