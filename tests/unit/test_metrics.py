"""The metrics as Prometheus' own parser reads them."""

from __future__ import annotations

from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from addons.measures import Measures
from proxy_cli.metrics import exposition

_SESSION: dict[str, Any] = {
    "name": "chat",
    "interactions": 3,
    "interrupted": 1,
    "not_recorded": {"failed": 2, "too_long": 0},
    "replays": True,
    "hits": 5,
    "misses": 1,
    "in_flight": 4,
    "journal_lag_bytes": 1000,
    "problem": "cassettes/chat.yaml: cannot write",
}


def _samples(sessions: list[dict[str, Any]], measures: Measures) -> dict[tuple[str, ...], float]:
    daemon = {"version": "1.2.3", "uptime_seconds": 7.5, "restarts": {"worker": 1, "scribe": 0}}
    text = exposition({"daemon": daemon, "sessions": sessions}, measures).decode()
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_exchanges_bytes_and_times_by_router() -> None:
    measures = Measures()
    measures.answered("api.openai.com", 0.2)
    measures.answered("api.openai.com", 20)
    measures.ended("api.openai.com", "complete", 10, 1000)
    found = _samples([], measures)
    assert found["wiretape_exchanges_total", "api.openai.com", "complete"] == 1
    assert found["wiretape_body_bytes_total", "api.openai.com", "response"] == 1000
    name = "wiretape_time_to_first_byte_seconds"
    assert found[f"{name}_bucket", "0.1", "api.openai.com"] == 0
    assert found[f"{name}_bucket", "0.25", "api.openai.com"] == 1
    assert found[f"{name}_bucket", "+Inf", "api.openai.com"] == 2
    assert found[f"{name}_count", "api.openai.com"] == 2
    assert found[f"{name}_sum", "api.openai.com"] == 20.2


def test_sessions_lag_failures_and_replays() -> None:
    found = _samples([_SESSION], Measures())
    assert found["wiretape_sessions",] == 1
    assert found["wiretape_interactions_total", "chat", "whole"] == 3
    assert found["wiretape_interactions_total", "chat", "interrupted"] == 1
    assert found["wiretape_not_recorded_total", "chat", "failed"] == 2
    assert found["wiretape_replayed_total", "chat", "miss"] == 1
    assert found["wiretape_in_flight", "chat"] == 4
    assert found["wiretape_journal_lag_bytes", "chat"] == 1000
    assert found["wiretape_problem", "chat"] == 1
    assert found["wiretape_restarts_total", "worker"] == 1
    assert found["wiretape_info", "1.2.3"] == 1


def test_session_that_only_records_has_no_replays() -> None:
    recorded = {name: value for name, value in _SESSION.items() if name not in ("hits", "misses")}
    found = _samples([recorded | {"replays": False, "problem": ""}], Measures())
    assert not [name for name, *_ in found if name.startswith("wiretape_replayed")]
    assert found["wiretape_problem", "chat"] == 0
