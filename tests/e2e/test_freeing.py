"""What a connection leaves behind in the worker's memory once it is over."""

from __future__ import annotations

import sys

import pytest

from tests.support.rawclient import Http1, tunnel
from tests.support.scripts import Received, Reply
from tests.support.upstream import HTTP_1_ONLY, Upstream
from tests.support.waiting import until
from tests.support.worker_alone import WorkerAlone

HOST = "api.openai.com"
CONNECTIONS = 150


def _answer(received: Received, reply: Reply) -> None:
    reply.head(200, [("Content-Length", "2")])
    reply.data(b"{}")


def _one_after_the_other(worker: WorkerAlone, count: int) -> None:
    for _ in range(count):
        client = Http1(tunnel(worker.session, HOST))
        client.send(f"GET /v1 HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        client.until(b"{}")
        client.close()


def test_full_collection_does_not_go_through_what_was_there_from_the_start() -> None:
    with WorkerAlone() as worker:
        # 90,000 there are in all, modules above all.
        assert worker.look()["objects"] < 25_000


@pytest.mark.skipif(sys.platform != "linux", reason="reads the memory from /proc")
def test_connections_that_are_over_do_not_wait_for_the_garbage_collector() -> None:
    with Upstream(_answer, alpn=HTTP_1_ONLY) as upstream, WorkerAlone(upstream.connect_to()) as worker:
        _one_after_the_other(worker, CONNECTIONS)  # what is made once
        worker.look()  # collects the garbage
        before = worker.resident_bytes

        _one_after_the_other(worker, CONNECTIONS)

        # 146 KB were left of each.
        assert worker.resident_bytes - before < CONNECTIONS * 60_000
        until("all to be gone", lambda: worker.look()["connections"] == 0)
        assert worker.counts()["in_flight"] == 0
        assert worker.counts()["failed"] == 0
