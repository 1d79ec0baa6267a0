"""Run a client with nothing set but what `wiretape env` prints and its credentials; check what was recorded of it."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.recorded import Recorded, interactions
from tests.support.scripts import Received
from tests.support.secrets import made_up, places_with
from tests.support.wiretape import Wiretape

CLIENT_DEADLINE_S = 120.0
"""No client takes that long for a few calls on a loaded machine; chosen, not measured."""

Seen = Callable[[bytes], object]
"""Called with all that a client has printed so far."""


def credentials() -> dict[str, str]:
    """Return made-up credentials under the names by which clients look for them; no two have the same value."""
    openai = made_up("sk-")
    return {
        "OPENAI_API_KEY": openai,
        "CODEX_API_KEY": openai,
        "ANTHROPIC_API_KEY": made_up("sk-" + "ant-"),
        "GEMINI_API_KEY": made_up("AI" + "za"),
        "MISTRAL_API_KEY": made_up(),
        "GROQ_API_KEY": made_up("gsk" + "_"),
        "HF_TOKEN": made_up("hf" + "_"),
        "AWS_ACCESS_KEY_ID": "AK" + "IA" + made_up()[:16].upper(),
        "AWS_SECRET_ACCESS_KEY": made_up()[:40],
    }


@dataclass(frozen=True, slots=True)
class Recorder:
    """Records one client: `folder` is its own, and so is the session."""

    wiretape: Wiretape
    scrubbed: Mapping[str, str]
    """What is in the environment besides."""
    folder: Path

    def record(
        self,
        command: Sequence[str | Path],
        options: Sequence[str],
        secrets: Mapping[str, str],
        extra: Mapping[str, str] | None = None,
        seen: Seen = bytes,
    ) -> tuple[bytes, list[Recorded]]:
        """Run a client to its end; return what it printed and what the cassette has, which is clean.

        `secrets` are variables with credentials: none of their values may be left anywhere. Raises
        AssertionError when the client fails.
        """
        home = self.folder / "client"
        home.mkdir(exist_ok=True)
        # The name of a session of its own: the last part of pytest's folder.
        cassette = self.folder / "cassettes" / f"{self.folder.name}.yaml"
        session = self.wiretape.start(cassette.stem, *options, cassette=cassette)
        env = {**self.scrubbed, "HOME": str(home), **session.variables, **secrets, **(extra or {})}
        try:
            printed = _run(command, env, home, seen)
        finally:
            self.wiretape.stop(cassette.stem)
        self._check(cassette, secrets)
        return printed, interactions(cassette.read_bytes())

    def _check(self, cassette: Path, secrets: Mapping[str, str]) -> None:
        """Check that `wiretape verify` finds nothing, and that no secret is left in what wiretape wrote."""
        verified = self.wiretape.run("verify", "-q", cassette)
        assert verified.stdout + verified.stderr == b""
        for name, value in secrets.items():
            assert places_with(value, [cassette.parent, self.wiretape.home]) == [], name


def assert_same(one: Recorded, received: Received, code: int, sent: bytes) -> None:
    """Check an interaction against what the router got and what it said."""
    assert (one.method, one.url) == (received.method, f"https://{received.authority}{received.target}")
    assert one.code == code
    assert one.request_body == received.body
    assert one.response_body == sent


def protocol(received: Received) -> str:
    """Name the protocol of a request as people do."""
    return received.version.removesuffix(".0")


def _run(command: Sequence[str | Path], env: Mapping[str, str], folder: Path, seen: Seen) -> bytes:
    errors = folder / "stderr"
    with (
        errors.open("wb") as stderr,
        subprocess.Popen(
            list(map(str, command)),
            cwd=folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
        ) as client,
    ):
        assert client.stdout is not None
        timer = threading.Timer(CLIENT_DEADLINE_S, client.kill)
        timer.start()
        printed = b""
        while data := os.read(client.stdout.fileno(), 65536):
            printed += data
            seen(printed)
        client.wait()
        timer.cancel()
    if client.returncode != 0:
        said = (printed + errors.read_bytes()).decode(errors="replace")
        raise AssertionError(f"exit {client.returncode}, after saying: {said[-3000:]}")
    return printed
