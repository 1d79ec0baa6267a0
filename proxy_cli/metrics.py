"""The daemon's counters in the text format that Prometheus reads; `GET /metrics` answers with it.

    wiretape_exchanges_total{router="api.openai.com",outcome="complete"} 12.0

Everything is read at the moment it is asked for: from the status, which sums over dead workers, and from what the
workers measured by router.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from addons.measures import BOUNDS_SECONDS, Measured, Measures

__all__ = ["CONTENT_TYPE_LATEST", "exposition"]


def exposition(status: Mapping[str, Any], measures: Measures) -> bytes:
    """Return the text: `status` is what `wiretape status --json` prints."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(status, measures))
    return bytes(generate_latest(registry))


class _Collector(Collector):
    def __init__(self, status: Mapping[str, Any], measures: Measures) -> None:
        self._status = status
        self._measures = measures

    def collect(self) -> Iterator[Metric]:
        yield from _of_daemon(self._status["daemon"])
        yield from _of_routers(self._measures)
        yield from _of_sessions(self._status["sessions"])


def _of_daemon(daemon: Mapping[str, Any]) -> Iterator[Metric]:
    yield InfoMetricFamily("wiretape", "The daemon that answers.", {"version": daemon["version"]})
    yield GaugeMetricFamily(
        "wiretape_uptime_seconds", "Since the daemon was started.", daemon["uptime_seconds"]
    )
    restarts = CounterMetricFamily(
        "wiretape_restarts", "Processes that died and were succeeded.", labels=["process"]
    )
    for process, count in daemon["restarts"].items():
        restarts.add_metric([process], count)
    yield restarts


def _of_routers(measures: Measures) -> Iterator[Metric]:
    exchanges = CounterMetricFamily(
        "wiretape_exchanges", "Exchanges that ended, by how they did.", labels=["router", "outcome"]
    )
    sizes = CounterMetricFamily(
        "wiretape_body_bytes", "Bytes of bodies, as on the wire.", labels=["router", "direction"]
    )
    first = HistogramMetricFamily(
        "wiretape_time_to_first_byte_seconds",
        "From the request's head to the response's.",
        labels=["router"],
    )
    for router, measured in sorted(measures.by_router.items()):
        for outcome, count in sorted(measured.ended.items()):
            exchanges.add_metric([router, outcome], count)
        sizes.add_metric([router, "request"], measured.request_bytes)
        sizes.add_metric([router, "response"], measured.response_bytes)
        first.add_metric([router], _cumulated(measured), measured.first_byte_seconds)
    yield exchanges
    yield sizes
    yield first


def _cumulated(measured: Measured) -> list[tuple[str, float]]:
    """Return how many were within each bound, as the format wants it: bound by bound, the smaller ones included."""
    so_far, buckets = 0, []
    bounds = [*map(str, BOUNDS_SECONDS), "+Inf"]
    for bound, count in zip(bounds, measured.first_bytes, strict=True):
        so_far += count
        buckets.append((bound, float(so_far)))
    return buckets


def _of_sessions(sessions: list[Mapping[str, Any]]) -> Iterator[Metric]:
    yield GaugeMetricFamily("wiretape_sessions", "Sessions that are open.", len(sessions))
    interactions = CounterMetricFamily(
        "wiretape_interactions", "Written by a session, whole or interrupted.", labels=["session", "kind"]
    )
    lost = CounterMetricFamily(
        "wiretape_not_recorded", "Exchanges that were not recorded, by reason.", labels=["session", "reason"]
    )
    replayed = CounterMetricFamily(
        "wiretape_replayed", "Requests that the cassette answered, or not.", labels=["session", "result"]
    )
    flight = GaugeMetricFamily("wiretape_in_flight", "Exchanges under way.", labels=["session"])
    lag = GaugeMetricFamily(
        "wiretape_journal_lag_bytes", "What the scribe has still to read of the journal.", labels=["session"]
    )
    problem = GaugeMetricFamily(
        "wiretape_problem", "1 while a session cannot write; see wiretape status.", labels=["session"]
    )
    for session in sessions:
        name = session["name"]
        interactions.add_metric([name, "whole"], session["interactions"])
        interactions.add_metric([name, "interrupted"], session["interrupted"])
        for reason, count in session["not_recorded"].items():
            lost.add_metric([name, reason], count)
        if "hits" in session:
            replayed.add_metric([name, "hit"], session["hits"])
            replayed.add_metric([name, "miss"], session["misses"])
        flight.add_metric([name], session["in_flight"])
        lag.add_metric([name], session["journal_lag_bytes"])
        problem.add_metric([name], 1 if session["problem"] else 0)
    yield from (interactions, lost, replayed, flight, lag, problem)
