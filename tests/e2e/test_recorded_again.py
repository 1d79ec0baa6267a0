"""Recorded again: the real cassettes' traffic, through the proxy, gives the same cassettes byte for byte."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.golike import GoLikeClient, send
from tests.support.goplan import GoGroup, parse_results, plan_text
from tests.support.playback import alpn_of, go_requests, play
from tests.support.recorded import Recorded, as_the_wire_shows, interactions, without_durations
from tests.support.scenarios import SCENARIOS, Scenario
from tests.support.shared import corpus_cassettes, needs_shared
from tests.support.upstream import Upstream
from tests.support.wiretape import Wiretape

SHARDS = 2
"""So that parallel test processes can share the work."""


@needs_shared
@pytest.mark.parametrize("shard", range(SHARDS))
def test_real_cassettes_are_recorded_again_byte_for_byte(
    shard: int, shared_wiretape: Wiretape, go_client: Path, tmp_path: Path
) -> None:
    paths = corpus_cassettes()[shard::SHARDS]

    def record_again(number: int) -> bytes:
        text = paths[number].read_bytes()
        return _recorded_again(
            shared_wiretape, go_client, tmp_path / f"again-{number}.yaml", interactions(text), text
        )

    with ThreadPoolExecutor(2) as pool:
        again = list(pool.map(record_again, range(len(paths))))

    folder = tmp_path / "different"
    for path, new in zip(paths, again, strict=True):
        wanted = without_durations(as_the_wire_shows(path.read_bytes()))
        if without_durations(new) != wanted:
            pair = folder / f"{path.parent.name}-{path.stem}"
            pair.mkdir(parents=True)
            (pair / "old.yaml").write_bytes(wanted)
            (pair / "new.yaml").write_bytes(without_durations(new))
    different = sorted(pair.name for pair in folder.iterdir()) if folder.exists() else []
    assert different == [], f"see old.yaml and new.yaml in the folders of {folder}"


def _recorded_again(
    wiretape: Wiretape, go_client: Path, cassette: Path, recorded: list[Recorded], text: bytes
) -> bytes:
    layout = "go-vcr" if b"\n    - id: " in text else "charm"
    host_field = "url" if recorded[0].host else "empty"
    local = {one.url.split("/")[2] for one in recorded if one.url.startswith("http:")}
    group = GoGroup(cassette.stem, go_requests(recorded), proxy="env")
    with contextlib.ExitStack() as stack:
        upstream = stack.enter_context(Upstream(play(recorded), alpn=alpn_of(recorded)))
        options = [*upstream.options(), f"--layout={layout}", f"--host-field={host_field}"]
        for authority in local:
            host, _, port = authority.partition(":")
            options += [f"--host={authority}", f"--connect-to={upstream.connect_to(host, int(port or 80))}"]
        done = wiretape.record(cassette, options, [go_client], stdin=plan_text([group]))
    errors = [result.error for result in parse_results(done.stdout) if result.error]
    assert errors == [], f"{cassette}: {errors}"
    return cassette.read_bytes()


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_made_traffic_is_recorded_as_go_vcr_does(
    scenario: Scenario, shared_wiretape: Wiretape, new_name: Callable[[], str]
) -> None:
    name = new_name()
    old = scenario.fixture.read_bytes()
    with Upstream(scenario.handler, alpn=scenario.alpn) as upstream:
        options = [f"--layout={scenario.layout}", f"--host-field={scenario.host_field}"]
        session = shared_wiretape.start(name, *upstream.options(), *options)
        with GoLikeClient(proxy=session.proxy, ca_file=session.bundle) as client:
            answers = [send(client, request) for request in scenario.requests]
        shared_wiretape.stop(name)

    assert [answer.body for answer in answers] == [one.response_body for one in interactions(old)]
    assert without_durations(session.cassette.read_bytes()) == without_durations(old)
