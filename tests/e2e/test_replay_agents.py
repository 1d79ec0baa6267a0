"""Agents with real SDKs, tools and streams: recorded once against a router, then replayed while it is gone."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.recorded import interactions
from tests.support.router import STEPS, WORDS, route
from tests.support.secrets import made_up
from tests.support.toolchains import CLIENTS
from tests.support.upstream import Upstream
from tests.support.wiretape import Wiretape, clean_command

SDKS = {"openai": "https://api.openai.com/v1", "anthropic": "https://api.anthropic.com"}
"""Their base URLs."""
VOLATILE = "replay: {volatile: [timestamp]}\n"
"""The agent's system prompt says what time it is."""
RETRIES = 2
"""What the SDKs do by themselves."""


class Agent:
    """The agent under `wiretape run`, with one cassette, which was recorded against a router that is gone."""

    def __init__(self, wiretape: Wiretape, python: Path, folder: Path, sdk: str) -> None:
        self._wiretape = wiretape
        self._command = clean_command([python, "-P", CLIENTS / "agent.py", sdk, SDKS[sdk], str(RETRIES)])
        self._config = folder / "agent-config.yaml"
        self._config.write_text(VOLATILE)
        self.tape = folder / f"{sdk}.yaml"
        self.key = made_up("sk-")
        with Upstream(route) as router:
            self._options = router.options()
            self.recorded, done = self.run("record-once")
            self.rounds = len(router.received)
        assert done.returncode == 0, done.stderr.decode()

    def run(
        self, mode: str, *options: str, prompt: str = ""
    ) -> tuple[list[dict[str, Any]], subprocess.CompletedProcess[bytes]]:
        """Let it work; return what it printed, and how `wiretape run` ended."""
        arguments = [f"--mode={mode}", f"--cassette={self.tape}", f"--config={self._config}", *self._options]
        env = {"AGENT_KEY": self.key, "AGENT_PROMPT": prompt}
        done = self._wiretape.run("run", *arguments, *options, "--", *self._command, env=env, check=False)
        return [json.loads(line) for line in done.stdout.splitlines()], done


@pytest.fixture(scope="module", params=list(SDKS))
def agent(
    shared_wiretape: Wiretape,
    sdk_python: Path,
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
) -> Agent:
    return Agent(shared_wiretape, sdk_python, tmp_path_factory.mktemp("agent"), request.param)


def test_agent_that_was_recorded_once_replays_twice_without_its_router(agent: Agent) -> None:
    assert agent.rounds == len(STEPS) + 1
    assert [line["tool"] for line in agent.recorded if "tool" in line] == [name for name, _ in STEPS]
    assert "".join(line.get("text", "") for line in agent.recorded) == "".join(WORDS)
    text = agent.tape.read_bytes()
    assert len(interactions(text)) == agent.rounds

    for _ in range(2):
        # The same command: there is a cassette now, so it is replayed.
        replayed, done = agent.run("record-once", "--fail-on-unused")
        assert done.returncode == 0, done.stderr.decode()
        assert replayed == agent.recorded
        assert f"{agent.rounds} hits, 0 misses, 0 unused" in done.stderr.decode()
    assert agent.tape.read_bytes() == text


def test_sdk_shows_a_miss_and_does_not_try_again(agent: Agent) -> None:
    said, done = agent.run("replay-only", prompt=" Answer in French.")
    (error,) = said
    assert error["status"] == 501
    assert "closest is interaction 0" in error["message"]
    assert "Answer in French." in error["message"]
    # Once, although the SDK tries what fails with 5xx again by itself.
    assert f"0 hits, 1 miss, {agent.rounds} unused" in done.stderr.decode()
    assert done.returncode == 1
    assert agent.key not in error["message"] + done.stderr.decode()
