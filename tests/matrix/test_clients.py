"""Each client, set up with nothing but what `wiretape env` prints, is recorded: a plain call and a streamed one."""

from __future__ import annotations

import gzip

import pytest

from tests.matrix.recording import Recorder, assert_same, credentials, protocol
from tests.matrix.rows import ROWS, Row
from tests.support.dialects import PIECES, PLAIN, STREAMED, Answer, answer
from tests.support.matrix_report import YES, Facts
from tests.support.matrix_tools import Tools
from tests.support.scripts import Gate, Received, Reply
from tests.support.upstream import Upstream


class Router:
    """Answers in everyone's dialect; holds a stream back behind its first piece until the client has printed it."""

    def __init__(self) -> None:
        self._printed = Gate(f"{PIECES[0]!r} on the client's output")
        self.answers: list[Answer] = []
        """What it said, in the order of the requests."""

    def play(self, request: Received, reply: Reply) -> None:
        said = answer(request)
        self.answers.append(said)
        packed = not said.streams and "gzip" in (request.header("accept-encoding") or "")
        coding = [("Content-Encoding", "gzip")] if packed else []
        reply.head(200, [("Content-Type", said.content_type), *coding])
        for part in said.parts:
            reply.data(gzip.compress(part) if packed else part)
            if said.streams:
                self._printed.wait()
        reply.end()

    def look(self, printed: bytes) -> None:
        """Let the stream go on when the client has printed its beginning."""
        if PIECES[0].encode() in printed:
            self._printed.open()


@pytest.mark.parametrize(
    "row",
    [pytest.param(row, id=row.name, marks=[] if row.quick else [pytest.mark.matrix_only]) for row in ROWS],
)
def test_client_is_recorded_with_nothing_set_but_what_env_prints(
    row: Row, tools: Tools, facts: Facts, recorder: Recorder
) -> None:
    facts.update(place=ROWS.index(row), client=row.name)
    if row.bypass:
        pytest.skip(row.bypass)
    program = row.make(tools)
    facts.update(version=program.version, runtime=program.runtime, how=program.how)
    router = Router()
    secrets = credentials()
    with Upstream(router.play) as upstream:
        printed, recorded = recorder.record(
            program.command,
            upstream.options(row.host),
            secrets,
            {"AWS_DEFAULT_REGION": "us-east-1"},
            router.look,
        )
    assert [one.url for one in recorded] == [f"https://{row.host}{one.target}" for one in upstream.received]
    # That no key is left means something only if one was sent.
    fields = [value for one in upstream.received for _, value in one.headers]
    assert any(secret in field for secret in secrets.values() for field in fields)
    plain, streamed = router.answers
    assert (plain.streams, streamed.streams) == (False, True)
    assert_same(recorded[0], upstream.received[0], 200, plain.body)
    first = plain.body if row.raw else f"{PLAIN}\n".encode()
    assert printed.startswith(first)
    facts.update(plain=YES, note=protocol(upstream.received[0]))
    assert_same(recorded[1], upstream.received[1], 200, streamed.body)
    assert printed.removeprefix(first) == (streamed.body if row.raw else STREAMED.encode())
    facts.update(streamed=YES)
