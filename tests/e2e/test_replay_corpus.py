"""The real cassettes answer real clients as they were recorded: all in one, and each by itself."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cassette import load
from cassette.model import Interaction
from proxy_cli.cli import main
from tests.support.golike import GoLikeClient, send
from tests.support.goplan import run_plan
from tests.support.scenarios import SCENARIOS, Scenario
from tests.support.scripts import whole
from tests.support.shared import corpus_cassettes, needs_shared
from tests.support.tapes import counts, differences, go_group, interactions_of, is_answer, write_tape
from tests.support.toolchains import CLIENTS
from tests.support.upstream import HTTP_1_ONLY, HTTP_2_FIRST, Upstream
from tests.support.wiretape import Session, Wiretape

GO_CLIENTS_AT_ONCE = 4
SESSIONS_AT_ONCE = 20
SDK_PATHS = ("/chat/completions", "/responses")
"""What the SDK's methods ask for."""


@pytest.fixture
def nobody() -> Iterator[Upstream]:
    """Where every connection of a session would lead; none may come."""
    with Upstream(whole(500, [], b"")) as upstream:
        yield upstream
        assert upstream.connections == 0


@dataclass(frozen=True, slots=True)
class Replaying:
    """A session that replays the whole corpus in one cassette."""

    session: Session
    interactions: tuple[Interaction, ...]


@pytest.fixture
def corpus(
    shared_wiretape: Wiretape, new_name: Callable[[], str], tmp_path: Path, nobody: Upstream
) -> Iterator[Replaying]:
    """Replay the corpus, in one cassette; afterwards everything has found its answer."""
    tape = write_tape(tmp_path / "corpus.yaml", interactions_of(corpus_cassettes()))
    name = new_name()
    session = shared_wiretape.start(name, "--mode=replay-only", *nobody.options(), cassette=tape)
    yield Replaying(session, load(tape).interactions)
    assert counts(shared_wiretape, name)[1] == 0
    shared_wiretape.stop(name)


@needs_shared
@pytest.mark.parametrize("http1", [True, False], ids=["http1", "http2"])
def test_whole_corpus_in_one_cassette_answers_a_go_client(
    corpus: Replaying, shared_wiretape: Wiretape, go_client: Path, http1: bool
) -> None:
    group = go_group("corpus", corpus.session, corpus.interactions, http1=http1)
    results = run_plan(go_client, [group])["corpus"]
    assert differences(corpus.interactions, results, http1=http1) == []
    assert counts(shared_wiretape, corpus.session.name) == (len(corpus.interactions), 0, 0)


@needs_shared
def test_each_cassette_of_the_corpus_answers_a_go_client(
    shared_wiretape: Wiretape, go_client: Path, tmp_path: Path, nobody: Upstream
) -> None:
    # The command line in this process: 118 sessions in starts of Python would take a minute.
    def wiretape(*arguments: str) -> Any:
        environment = {"WIRETAPE_HOME": str(shared_wiretape.home), "XDG_CONFIG_HOME": os.devnull}
        done = CliRunner(env=environment).invoke(main, [*arguments, "--json"], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    bundle = shared_wiretape.start("asked-for-the-bundle").variables["SSL_CERT_FILE"]
    shared_wiretape.stop("asked-for-the-bundle")
    paths = corpus_cassettes()
    wrong: list[str] = []
    for start in range(0, len(paths), SESSIONS_AT_ONCE):
        batch = {f"file-{number}": path for number, path in enumerate(paths[start:][:SESSIONS_AT_ONCE])}
        groups, recorded = [], {}
        for number, (name, path) in enumerate(batch.items()):
            options = ["--mode=replay-only", f"--cassette={path}", *nobody.options()]
            status = wiretape("start", name, *options)
            session = Session(name, path, {"HTTPS_PROXY": status["proxy"], "SSL_CERT_FILE": bundle})
            recorded[name] = load(path).interactions
            groups.append(go_group(name, session, recorded[name], http1=number % 2 == 0))
        results = run_plan(go_client, groups, parallel=GO_CLIENTS_AT_ONCE)
        for group in groups:
            name = group.name
            found = differences(recorded[name], results[name], http1=group.http1)
            wrong += [f"{batch[name]}: {difference}" for difference in found]
            (summary,) = wiretape("stop", name)
            if (summary["hits"], summary["misses"], summary["unused"]) != (len(recorded[name]), 0, 0):
                wrong.append(f"{batch[name]}: {summary}")
    assert wrong == []


def _is_stream(one: Interaction) -> bool:
    return one.response.headers["Content-Type"][0].startswith("text/event-stream")


def _events_of(one: Interaction) -> list[Any]:
    """Return what the events of a recorded stream say, the last one aside, which is only its end."""
    lines = one.response.body.replace(b"\r\n", b"\n").split(b"\n")
    texts = [line.removeprefix(b"data:").strip() for line in lines if line.startswith(b"data:")]
    return [json.loads(text) for text in texts if text != b"[DONE]"]


def _one_of_each_kind(interactions: tuple[Interaction, ...]) -> list[Interaction]:
    """Choose the first interaction of each host, method of the API and content type."""
    chosen: dict[tuple[str, bool, tuple[str, ...]], Interaction] = {}
    for one in interactions:
        url = one.request.url.partition("?")[0]
        kind = url.split("/")[2], url.endswith("/responses"), one.response.headers.get("Content-Type", ())
        chosen.setdefault(kind, one)
    return list(chosen.values())


@needs_shared
@pytest.mark.parametrize("protocol", ["http1.1", "http2"])
def test_corpus_answers_curl(corpus: Replaying, curl: str, tmp_path: Path, protocol: str) -> None:
    kinds = _one_of_each_kind(corpus.interactions)
    assert len(kinds) > len({one.request.url.split("/")[2] for one in kinds})
    wrong = []
    for one in kinds:
        (tmp_path / "sent").write_bytes(one.request.body)
        headers = [("--header", f"{name}: {value}") for name, (value, *_) in one.request.headers.items()]
        command: list[str | Path] = [
            *(curl, "--silent", "--show-error", f"--{protocol}", *chain.from_iterable(headers)),
            *("--data-binary", f"@{tmp_path / 'sent'}", "--proxy", f"http://{corpus.session.proxy}"),
            *("--cacert", corpus.session.bundle, one.request.url),
            *("--write-out", "%{stderr}%{http_code} %{http_version} %{content_type}"),
        ]
        done = subprocess.run(command, env={}, capture_output=True, check=False)
        version = "1.1" if one.request.url.startswith("http:") else protocol.removeprefix("http")
        wanted = f"200 {version} {one.response.headers['Content-Type'][0]}"
        if (done.stderr.decode(), done.stdout) != (wanted, one.response.body):
            wrong.append(f"interaction {one.id} of {one.request.url}: {done}")
    assert wrong == []


@needs_shared
def test_corpus_answers_the_openai_sdk(corpus: Replaying, sdk_python: Path, tmp_path: Path) -> None:
    kinds = _one_of_each_kind(corpus.interactions)
    asked = [one for one in kinds if one.request.url.partition("?")[0].endswith(SDK_PATHS)]
    plan = [
        {"url": one.request.url, "body": json.loads(one.request.body), "streams": _is_stream(one)}
        for one in asked
    ]
    assert {True, False} == {call["streams"] for call in plan}
    done = subprocess.run(
        [sdk_python, "-P", CLIENTS / "openai_calls.py"],
        env=dict(corpus.session.variables),
        input=json.dumps(plan).encode(),
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    wrong = []
    for one, line in zip(asked, done.stdout.splitlines(), strict=True):
        if json.loads(line) != (_events_of(one) if _is_stream(one) else json.loads(one.response.body)):
            wrong.append(f"interaction {one.id} of {one.request.url}: {line.decode()}")
    assert wrong == []


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
@pytest.mark.parametrize("alpn", [HTTP_1_ONLY, HTTP_2_FIRST], ids=["to-http1", "to-http2"])
def test_what_go_vcr_recorded_is_answered_as_recorded(
    shared_wiretape: Wiretape,
    new_name: Callable[[], str],
    nobody: Upstream,
    scenario: Scenario,
    alpn: tuple[str, ...],
) -> None:
    name, recorded = new_name(), load(scenario.fixture).interactions
    options = ["--mode=replay-only", *nobody.options()]
    session = shared_wiretape.start(name, *options, cassette=scenario.fixture)
    with GoLikeClient(proxy=session.proxy, ca_file=session.bundle, alpn=alpn) as client:
        answers = [send(client, request) for request in scenario.requests]
    wrong = [
        (one.request.url, answer)
        for one, answer in zip(recorded, answers, strict=True)
        if not is_answer(one, answer)
    ]
    assert wrong == []
    assert counts(shared_wiretape, name) == (len(recorded), 0, 0)
    shared_wiretape.stop(name)
