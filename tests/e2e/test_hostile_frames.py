"""HTTP/2 clients that mean harm: floods of frames, of streams, of headers."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest
from hyperframe.frame import PingFrame, RstStreamFrame, SettingsFrame

from tests.support.h2peer import EventClient
from tests.support.hostile import (
    HOST,
    JSON,
    bystander,
    forget_peak,
    needs_linux,
    others_are_not_disturbed,
    peak,
    resident,
    wiretape,
)
from tests.support.inprocess import InProcess
from tests.support.rawclient import tunnel
from tests.support.scripts import whole
from tests.support.upstream import Upstream

__all__ = ["bystander", "others_are_not_disturbed", "wiretape"]


def _settings(_number: int) -> bytes:
    return SettingsFrame(0, settings={SettingsFrame.INITIAL_WINDOW_SIZE: 65535}).serialize()


def _pings(number: int) -> bytes:
    return PingFrame(0, number.to_bytes(8, "big")).serialize()


@needs_linux
@pytest.mark.parametrize("frame", [_settings, _pings])
def test_flood_of_frames_that_want_an_answer_takes_bounded_memory(
    frame: Callable[[int], bytes], wiretape: InProcess
) -> None:
    pid = wiretape.status()["daemon"]["worker_pid"]
    with Upstream(whole(200, [JSON], b"{}")) as upstream:
        session = wiretape.open(*upstream.options())
        client = EventClient(tunnel(session, HOST, alpn=("h2",)))
        client.ask("/v1")
        before = resident(pid)
        forget_peak(pid)
        client.sock.settimeout(5)
        flood = b"".join(map(frame, range(2000)))
        try:
            for _ in range(100):  # and nobody reads the answers
                client.raw(flood)
        except (TimeoutError, OSError):
            pass
        grown = peak(pid) - before
        client.sock.close()
        wiretape.close(session, "--drain-seconds=0")
    assert grown < 64 << 20


@needs_linux
def test_streams_that_are_opened_and_reset_at_once_take_bounded_memory(wiretape: InProcess) -> None:
    pid = wiretape.status()["daemon"]["worker_pid"]
    with Upstream(whole(200, [JSON], b"{}")) as upstream:
        session = wiretape.open(*upstream.options())
        client = EventClient(tunnel(session, HOST, alpn=("h2",)))
        client.ask("/v1")
        before = resident(pid)
        forget_peak(pid)
        try:
            for _ in range(200):
                stream = client.begin("/v1")
                client.raw(RstStreamFrame(stream, error_code=8).serialize())
                client.protocol.reset_stream(stream)
                client.protocol.data_to_send()
        except OSError:
            pass
        after = EventClient(tunnel(session, HOST, alpn=("h2",)))
        after.ask("/v1")
        grown = peak(pid) - before
        client.sock.close()
        after.sock.close()
        wiretape.close(session, "--drain-seconds=0")
    assert grown < 64 << 20


def test_header_list_past_the_bounds_of_http2_is_refused(wiretape: InProcess) -> None:
    with Upstream(whole(200, [JSON], b"{}")) as upstream:
        session = wiretape.open(*upstream.options())
        client = EventClient(tunnel(session, HOST, alpn=("h2",)))
        with contextlib.suppress(OSError):
            client.begin("/v1", headers=[(f"x-{number}", "v" * 50) for number in range(10_000)])
        with pytest.raises(OSError, match=r"."):
            client.until(lambda: False)
        client.sock.close()
        after = EventClient(tunnel(session, HOST, alpn=("h2",)))
        after.ask("/v1")
        after.sock.close()
        wiretape.close(session, "--drain-seconds=0")
