"""go-vcr itself, in a real Go program: it records in-process, and it replays what wiretape recorded."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.support.goplan import GoGroup, GoResult, run_plan
from tests.support.recorded import without_durations
from tests.support.scenarios import SCENARIOS, Scenario
from tests.support.scripts import whole
from tests.support.upstream import Upstream
from tests.support.wiretape import Wiretape

EACH_SCENARIO = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)


def _in_process(scenario: Scenario, go_vcr: Path, cassette: Path) -> Sequence[GoResult]:
    """Let go-vcr record the scenario inside the client; return what the client saw."""
    with Upstream(scenario.handler, alpn=scenario.alpn) as upstream:
        group = GoGroup(
            "in-process",
            scenario.requests,
            dial=f"127.0.0.1:{upstream.port}",
            ca_file=str(upstream.ca_file),
            empty_host=scenario.host_field == "empty",
            cassette=str(cassette),
            mode="record",
            layout=scenario.layout,
        )
        return run_plan(go_vcr, [group])["in-process"]


@dataclasses.dataclass(frozen=True, slots=True)
class Tape:
    """What wiretape recorded of a scenario, and what the client saw meanwhile."""

    cassette: Path
    results: Sequence[GoResult]


@pytest.fixture(scope="module")
def tape_of(go_client: Path, shared_wiretape: Wiretape) -> Callable[[Scenario], Tape]:
    """Let wiretape record a scenario on its way to the upstream, each scenario once."""

    @functools.cache
    def recorded(name: str) -> Tape:
        (scenario,) = (one for one in SCENARIOS if one.name == name)
        with Upstream(scenario.handler, alpn=scenario.alpn) as upstream:
            options = [f"--host-field={scenario.host_field}", f"--layout={scenario.layout}"]
            session = shared_wiretape.start(name, *upstream.options(), *options)
            proxy = f"http://{session.proxy}"
            group = GoGroup(name, scenario.requests, proxy=proxy, ca_file=str(session.bundle))
            results = run_plan(go_client, [group])[name]
            shared_wiretape.stop(name)
        return Tape(session.cassette, results)

    return lambda scenario: recorded(scenario.name)


def _bodies(results: Sequence[GoResult]) -> list[tuple[str, str, str]]:
    return [(result.error, result.status, result.sha256) for result in results]


@EACH_SCENARIO
def test_fixture_is_what_go_vcr_records(scenario: Scenario, go_vcr: Path, tmp_path: Path) -> None:
    results = _in_process(scenario, go_vcr, tmp_path / "new.yaml")

    assert [result.error for result in results] == [""] * len(scenario.requests)
    new, old = tmp_path / "new.yaml", scenario.fixture
    assert without_durations(new.read_bytes()) == without_durations(old.read_bytes()), f"go-vcr wrote {new}"


@EACH_SCENARIO
def test_wire_and_in_process_recording_are_equal_but_for_durations(
    scenario: Scenario, go_vcr: Path, tape_of: Callable[[Scenario], Tape], tmp_path: Path
) -> None:
    in_process = _in_process(scenario, go_vcr, tmp_path / "in-process.yaml")
    on_the_wire = tape_of(scenario)

    assert _bodies(on_the_wire.results) == _bodies(in_process)
    one, other = on_the_wire.cassette, tmp_path / "in-process.yaml"
    assert without_durations(one.read_bytes()) == without_durations(other.read_bytes())


@pytest.mark.parametrize("matcher", ["loose", "ignore-filtered"])
@EACH_SCENARIO
def test_go_vcr_replays_what_wiretape_recorded(
    scenario: Scenario, matcher: str, go_vcr: Path, tape_of: Callable[[Scenario], Tape]
) -> None:
    live = tape_of(scenario)

    replayed = _replayed(scenario, matcher, go_vcr, live.cassette)

    assert _bodies(replayed) == _bodies(live.results)


@pytest.mark.parametrize("matcher", ["loose", "ignore-filtered"])
@EACH_SCENARIO
def test_go_vcr_replays_its_own_fixture(scenario: Scenario, matcher: str, go_vcr: Path) -> None:
    replayed = _replayed(scenario, matcher, go_vcr, scenario.fixture)

    assert [result.error for result in replayed] == [""] * len(scenario.requests)


def _replayed(scenario: Scenario, matcher: str, go_vcr: Path, cassette: Path) -> Sequence[GoResult]:
    group = GoGroup(
        "replayed",
        scenario.requests,
        empty_host=scenario.host_field == "empty",
        cassette=str(cassette),
        mode="replay",
        matcher=matcher,
    )
    return run_plan(go_vcr, [group])["replayed"]


def test_matchers_differ_on_a_body_that_is_equal_as_json_only(go_vcr: Path) -> None:
    (scenario,) = (one for one in SCENARIOS if one.name == "host-of-the-url")
    reordered = [
        dataclasses.replace(one, body=json.dumps(json.loads(one.body), sort_keys=True, indent=1).encode())
        for one in scenario.requests
    ]
    scenario = dataclasses.replace(scenario, calls=[(one, whole(500, [], b"")) for one in reordered])

    loose = _replayed(scenario, "loose", go_vcr, scenario.fixture)
    strict = _replayed(scenario, "ignore-filtered", go_vcr, scenario.fixture)

    assert [result.error for result in loose] == ["", ""]
    assert all("requested interaction not found" in result.error for result in strict)
