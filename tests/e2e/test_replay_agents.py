"""Agents with real SDKs, tools and streams: recorded once against a router, then replayed while it is gone."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.recorded import interactions
from tests.support.router import STEPS, WORDS, route
from tests.support.secrets import made_up
from tests.support.toolchains import CLIENTS
from tests.support.upstream import Upstream
from tests.support.wiretape import Wiretape, clean_command

SDKS = pytest.mark.parametrize(
    ("sdk", "base_url"),
    [("openai", "https://api.openai.com/v1"), ("anthropic", "https://api.anthropic.com")],
    ids=["openai", "anthropic"],
)
VOLATILE = "replay: {volatile: [timestamp]}\n"
"""The agent's system prompt says what time it is."""
RETRIES = 2
"""What the SDKs do by themselves."""


class Agent:
    """The agent under `wiretape run`, with one cassette."""

    def __init__(self, wiretape: Wiretape, python: Path, folder: Path, sdk: str, base_url: str) -> None:
        self._wiretape = wiretape
        self._command = clean_command([python, "-P", CLIENTS / "agent.py", sdk, base_url, str(RETRIES)])
        self._config = folder / "agent-config.yaml"
        self._config.write_text(VOLATILE)
        self.tape = folder / "agent.yaml"
        self.key = made_up("sk-")

    def run(
        self, mode: str, *options: str, prompt: str = ""
    ) -> tuple[list[dict[str, Any]], subprocess.CompletedProcess[bytes]]:
        """Let it work; return what it printed, and how `wiretape run` ended."""
        arguments = ["run", f"--mode={mode}", f"--cassette={self.tape}", f"--config={self._config}", *options]
        env = {"AGENT_KEY": self.key, "AGENT_PROMPT": prompt}
        done = self._wiretape.run(*arguments, "--", *self._command, env=env, check=False)
        return [json.loads(line) for line in done.stdout.splitlines()], done


@pytest.fixture
def agent(
    shared_wiretape: Wiretape, sdk_python: Path, tmp_path: Path, sdk: str, base_url: str
) -> Agent:
    return Agent(shared_wiretape, sdk_python, tmp_path, sdk, base_url)


def _record(agent: Agent, options: Sequence[str]) -> list[dict[str, Any]]:
    said, done = agent.run("record-once", *options)
    assert done.returncode == 0, done.stderr.decode()
    return said


@SDKS
def test_agent_that_was_recorded_once_replays_twice_without_its_router(agent: Agent) -> None:
    with Upstream(route) as router:
        options = router.options()
        recorded = _record(agent, options)
        rounds = len(router.received)
    assert rounds == len(STEPS) + 1
    assert [line["tool"] for line in recorded if "tool" in line] == [name for name, _ in STEPS]
    assert "".join(line.get("text", "") for line in recorded) == "".join(WORDS)
    text = agent.tape.read_bytes()
    assert len(interactions(text)) == rounds

    for _ in range(2):
        # The same command: there is a cassette now, so it is replayed. Nobody listens where the options lead.
        replayed, done = agent.run("record-once", *options, "--fail-on-unused")
        assert done.returncode == 0, done.stderr.decode()
        assert replayed == recorded
        assert f"{rounds} hits, 0 misses, 0 unused" in done.stderr.decode()
    assert agent.tape.read_bytes() == text


@SDKS
def test_sdk_shows_a_miss_and_does_not_try_again(agent: Agent, shared_wiretape: Wiretape) -> None:
    with Upstream(route) as router:
        options = router.options()
        _record(agent, options)
    said, done = agent.run("replay-only", prompt=" Answer in French.")
    (error,) = said
    assert (error["error"], error["status"]) == ("InternalServerError", 501)
    assert "closest is interaction 0" in error["message"]
    assert "Answer in French." in error["message"]
    # Once, although the SDK tries what fails with 5xx again by itself.
    assert f"0 hits, 1 miss, {len(STEPS) + 1} unused" in done.stderr.decode()
    assert done.returncode == 1
    assert agent.key not in error["message"] + done.stderr.decode()
