"""Coding agents, set up with nothing but what `wiretape env` prints and a key, are recorded: all that they ask."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest

from tests.matrix.recording import Recorder, credentials, protocol
from tests.matrix.rows import AGENTS, ROWS, Agent
from tests.support.dialects import STREAMED, answer
from tests.support.matrix_report import UNTRIED, YES, Facts
from tests.support.matrix_tools import Tools
from tests.support.recorded import Recorded
from tests.support.scripts import Received, Reply
from tests.support.upstream import Upstream

_NOTHING = b'{"error": {"message": "not here", "type": "not_found"}}'


class Said(NamedTuple):
    """One answer, and what it answered."""

    method: str
    url: str
    asked: bytes
    code: int
    body: bytes


class Router:
    """Answers what asks a model, in its dialect; has nothing else, and no WebSockets."""

    def __init__(self) -> None:
        self.said: list[Said] = []
        """Every answer."""
        self.protocol = ""
        """Of the last request that asked a model."""

    def play(self, request: Received, reply: Reply) -> None:
        try:
            # A body that is not JSON is a ValueError, too.
            said = answer(request)
            code, content_type, parts = 200, said.content_type, said.parts
            self.protocol = protocol(request)
        except ValueError:
            upgrade = request.header("upgrade") is not None
            code, content_type, parts = 426 if upgrade else 404, "application/json", (_NOTHING,)
        url = f"https://{request.authority}{request.target}"
        self.said.append(Said(request.method, url, request.body, code, b"".join(parts)))
        reply.head(code, [("Content-Type", content_type)])
        for part in parts:
            reply.data(part)
        reply.end()


@pytest.mark.matrix_only
@pytest.mark.parametrize("agent", [pytest.param(agent, id=agent.name) for agent in AGENTS])
def test_agent_is_recorded_with_nothing_set_but_what_env_prints(
    agent: Agent, tools: Tools, facts: Facts, recorder: Recorder
) -> None:
    facts.update(place=len(ROWS) + AGENTS.index(agent), client=agent.name)
    program = tools.agent(agent.package, agent.command, on_node=agent.on_node)
    facts.update(version=program.version, runtime=program.runtime, how=program.how, plain=UNTRIED)
    router = Router()
    with Upstream(router.play) as upstream:
        # Every host leads to the router, so that nothing that the agent tries leaves this machine.
        printed, recorded = recorder.record(program.command, upstream.options(), credentials())
    assert STREAMED in printed.decode()
    # Side by side, requests end in another order than they began, so they are told apart by what they ask.
    said = Counter(router.said)
    assert not Counter(map(_as_said, recorded)) - said
    asked = [one for one in recorded if urlsplit(one.url).path == agent.path and one.code == 200]
    assert asked
    assert {urlsplit(one.url).hostname for one in asked} == {agent.host}
    notes = [router.protocol, f"requests recorded: {len(recorded)}", agent.note]
    facts.update(streamed=YES, note="; ".join(filter(None, notes)))


def _as_said(one: Recorded) -> Said:
    return Said(one.method, one.url, one.request_body, one.code, one.response_body)
