"""The scripted upstream plays the real cassettes so well that go-vcr, in the client, records the same again.

This is what makes the other comparison fair: `tests/e2e/test_recorded_again.py` asks the same of the proxy,
with the same upstream and the same requests.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from tests.support.goplan import GoGroup, run_plan
from tests.support.playback import alpn_of, go_requests, play
from tests.support.recorded import as_the_wire_shows, interactions, without_durations
from tests.support.shared import corpus_cassettes, needs_shared
from tests.support.upstream import Upstream


@needs_shared
def test_go_vcr_records_every_real_cassette_again(go_vcr: Path, tmp_path: Path) -> None:
    old = {str(number): path for number, path in enumerate(corpus_cassettes())}
    groups: list[GoGroup] = []
    with contextlib.ExitStack() as stack:
        for name, path in old.items():
            recorded = interactions(path.read_bytes())
            upstream = stack.enter_context(Upstream(play(recorded), alpn=alpn_of(recorded)))
            groups.append(
                GoGroup(
                    name,
                    go_requests(recorded),
                    dial=f"127.0.0.1:{upstream.port}",
                    ca_file=str(upstream.ca_file),
                    empty_host=not recorded[0].host,
                    cassette=str(tmp_path / f"{name}.yaml"),
                    mode="record",
                )
            )
        results = run_plan(go_vcr, groups, parallel=4)

    assert [result.error for group in results.values() for result in group if result.error] == []
    different = [
        str(path)
        for name, path in old.items()
        if without_durations(as_the_wire_shows((tmp_path / f"{name}.yaml").read_bytes()))
        != without_durations(as_the_wire_shows(path.read_bytes()))
    ]
    assert different == []
