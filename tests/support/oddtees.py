"""A proxy worker whose recorder is replaced by tees that mitmproxy allows and ours are not: by the request's path.

/raises     raises an error at the third piece
/drops      passes nothing on
/doubles    passes each piece on twice, as a list
/empties    passes empty pieces on
/way        passes on which way a piece has taken, `short` or `plain`
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from mitmproxy import http

from addons import levers, recorder
from addons.child import Child
from addons.compat import speed_frames
from tests.support.worker_alone import WorkerAlone
from tests.support.worker_alone import main as start


class OddTees(WorkerAlone):
    """The worker; see above."""

    def __init__(self, *connect_to: str) -> None:
        super().__init__(*connect_to)
        self._child.close(10)
        self._child = Child(
            "worker",
            [__name__, self._folder.name, "alone", '{"without": [], "values": {}}'],
            lambda _child: None,
            levers.interpreter_options(),
        )


def _raising() -> Callable[[bytes], bytes]:
    count = 0

    def tee(data: bytes) -> bytes:
        nonlocal count
        count += 1
        if count > 2:
            raise RuntimeError("as it was told")
        return data

    return tee


def _way(data: bytes) -> bytes:
    at: FrameType | None = sys._getframe()
    while data and at is not None:
        if at.f_code.co_filename == speed_frames.__file__ and at.f_code.co_name == "_tee":
            return b"short"
        at = at.f_back
    return data and b"plain"


def _tee(path: str) -> Any:
    name = path.rpartition("/")[2]
    if name == "raises":
        return _raising()
    return {
        "drops": lambda _data: [],
        "doubles": lambda data: [data, data] if data else [],
        "empties": lambda data: b"" if data else [],
        "way": _way,
    }[name]


def main() -> None:
    """Start the worker with the odd tees."""

    def responseheaders(_self: recorder.Recorder, flow: http.HTTPFlow) -> None:
        assert flow.response is not None
        flow.response.stream = _tee(flow.request.path)

    responseheaders.__module__ = recorder.__name__  # else it would not be run where it arises
    recorder.Recorder.responseheaders = responseheaders  # type: ignore[method-assign]
    start()


if __name__ == "__main__":
    main()
