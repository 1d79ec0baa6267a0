"""go-vcr's modes, and what is said of a replay: exit codes, counts."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cassette import load
from tests.support.asking import Sessions, answer_to, ask, question
from tests.support.asking import sessions as sessions
from tests.support.scripts import Received, Reply, whole
from tests.support.tapes import CHAT, JSON, call, counts, write_tape
from tests.support.upstream import Upstream
from tests.support.wiretape import Wiretape

# Through the proxy of the environment, each question on the command line.
_CLIENT = """
import sys, urllib.error, urllib.request
for question in sys.argv[2:]:
    request = urllib.request.Request(sys.argv[1], question.encode(), {"Content-Type": "application/json"})
    try:
        urllib.request.urlopen(request).read()
    except urllib.error.HTTPError as exc:
        print(exc.code)
"""


ONE, TWO, THREE = (call(question(text), answer_to(text)) for text in ("one", "two", "three"))


def echo(request: Received, reply: Reply) -> None:
    """Answer what the upstream is asked."""
    text = json.loads(request.body)["messages"][0]["content"]
    whole(200, [("Content-Type", JSON)], answer_to(text))(request, reply)


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream(echo) as server:
        yield server


def test_record_once_records_where_nothing_is_and_replays_what_is_there(
    sessions: Sessions, upstream: Upstream
) -> None:
    options = ["--mode=record-once", *upstream.options()]
    recorded, summary = sessions.ask("one", "two", options=options)
    assert (summary["interactions"], summary["replays"], len(upstream.received)) == (2, False, 2)
    text = sessions.tape.read_bytes()

    replayed, summary = sessions.ask("one", "two", "three", options=options)
    assert [answer.body for answer in replayed[:2]] == [answer.body for answer in recorded]
    assert (replayed[2].status, replayed[2].header("wiretape-error")) == (501, "replay_miss")
    assert (summary["hits"], summary["misses"], summary["unused"]) == (2, 1, 0)
    assert len(upstream.received) == 2
    assert sessions.tape.read_bytes() == text


def test_new_episode_goes_behind_the_old_ones_which_stay_as_they_are(
    sessions: Sessions, upstream: Upstream
) -> None:
    before = write_tape(sessions.tape, [ONE, TWO]).read_bytes()
    options = ["--mode=replay-with-new-episodes", *upstream.options()]
    answers, summary = sessions.ask("two", "new", "one", "newer", options=options)
    assert [answer.body for answer in answers] == [answer_to(text) for text in ("two", "new", "one", "newer")]
    assert [json.loads(received.body) for received in upstream.received] == [
        question("new"),
        question("newer"),
    ]
    assert (summary["hits"], summary["unused"], summary["replays"], summary["records"]) == (2, 0, True, True)

    after = sessions.tape.read_bytes()
    assert after.startswith(before)
    interactions = load(sessions.tape).interactions
    assert [one.id for one in interactions] == [0, 1, 2, 3]
    assert [one.response.body for one in interactions[2:]] == [answer_to("new"), answer_to("newer")]

    answers, summary = sessions.ask("newer", "new", "two", "one", options=options)
    assert [answer.status for answer in answers] == [200] * 4
    assert (summary["hits"], len(upstream.received)) == (4, 2)
    assert sessions.tape.read_bytes() == after


def test_new_episodes_without_a_cassette_are_a_recording(sessions: Sessions, upstream: Upstream) -> None:
    options = ["--mode=replay-with-new-episodes", *upstream.options()]
    sessions.ask("one", "one", options=options)
    # An answer that was recorded just now is not played in the same session, as with go-vcr.
    assert len(upstream.received) == 2
    assert len(load(sessions.tape).interactions) == 2


def test_hits_of_a_session_with_new_episodes_need_no_upstream(sessions: Sessions) -> None:
    write_tape(sessions.tape, [ONE])
    with Upstream(echo) as server:
        options = ["--mode=replay-with-new-episodes", *server.options()]
    answers, summary = sessions.ask("one", "new", options=options)
    assert [answer.status for answer in answers] == [200, 502]
    assert (summary["hits"], summary["not_recorded"]["refused"]) == (1, 1)
    assert len(load(sessions.tape).interactions) == 1


def test_repeat_lets_the_last_answer_stand_in(sessions: Sessions) -> None:
    write_tape(sessions.tape, [call(question("one"), answer_to(text)) for text in ("first", "second")])
    answers, summary = sessions.ask("one", "one", "one", "one", options=["--mode=replay-only", "--repeat"])
    wanted = [answer_to(text) for text in ("first", "second", "second", "second")]
    assert [answer.body for answer in answers] == wanted
    assert (summary["hits"], summary["misses"], summary["unused"]) == (4, 0, 0)


@pytest.mark.parametrize(
    ("asked", "options", "settings", "status"),
    [
        (["one", "two"], ["--fail-on-unused"], "", 0),
        (["one"], [], "", 0),
        (["one"], ["--fail-on-unused"], "", 1),
        (["one"], [], "replay: {fail_on_unused: true}", 1),
        (["one", "two", "three"], [], "", 1),
        (["one", "two", "three"], [], "replay: {fail_on_miss: false}", 0),
    ],
    ids=["all", "unused", "unused-option", "unused-setting", "miss", "miss-allowed"],
)
def test_run_exits_as_misses_and_unused_interactions_say(
    shared_wiretape: Wiretape,
    tmp_path: Path,
    asked: list[str],
    options: list[str],
    settings: str,
    status: int,
) -> None:
    tape = write_tape(tmp_path / "tape.yaml", [ONE, TWO])
    config = tmp_path / "settings.yaml"
    config.write_text(settings + "\n")
    command = [sys.executable, "-c", _CLIENT, CHAT, *(json.dumps(question(text)) for text in asked)]
    arguments = [
        "run",
        "--mode=replay-only",
        f"--cassette={tape}",
        f"--config={config}",
        *options,
        "--",
        *command,
    ]
    done = shared_wiretape.run(*arguments, check=False)
    said = done.stderr.decode()
    assert done.returncode == status, said
    hits, misses = min(len(asked), 2), max(0, len(asked) - 2)
    noun = "hit" if hits == 1 else "hits"
    assert f"{hits} {noun}, {misses} miss{'' if misses == 1 else 'es'}, {2 - hits} unused from" in said
    assert done.stdout.decode() == "501\n" * misses


def test_status_of_a_command_that_fails_goes_before_a_miss(shared_wiretape: Wiretape, tmp_path: Path) -> None:
    tape = write_tape(tmp_path / "tape.yaml", [ONE])
    command = [sys.executable, "-c", _CLIENT + "sys.exit(7)", CHAT, json.dumps(question("two"))]
    arguments = ["run", "--mode=replay-only", f"--cassette={tape}", "--", *command]
    assert shared_wiretape.run(*arguments, check=False).returncode == 7


def test_status_counts_while_the_session_is_open(
    shared_wiretape: Wiretape, new_name: Callable[[], str], tmp_path: Path
) -> None:
    name = new_name()
    tape = write_tape(tmp_path / "tape.yaml", [ONE, TWO, THREE])
    session = shared_wiretape.start(name, "--mode=replay-only", cassette=tape)
    for text in ("one", "none", "three"):
        ask(session, question(text))
    assert counts(shared_wiretape, name) == (2, 1, 1)
    assert "2 hits, 1 miss, 1 unused" in shared_wiretape.run("status").stdout.decode()
    assert "2 hits, 1 miss, 1 unused from" in shared_wiretape.run("stop", name).stdout.decode()
