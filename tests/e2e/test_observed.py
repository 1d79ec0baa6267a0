"""What watches a service sees: health, readiness, metrics, logs as JSON, a session as long as its command."""

from __future__ import annotations

import json
import os
import signal
import socket
import urllib.error
import urllib.request
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

import cassette
from tests.support.golike import GoLikeClient
from tests.support.scripts import whole
from tests.support.upstream import Upstream
from tests.support.waiting import has_ended, until
from tests.support.wiretape import Session, Wiretape

URL = "https://api.openai.com/v1/models"


def _get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=30) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as exc:
        return exc.code, exc.read().decode()


def _metrics(url: str) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(_get(f"{url}/metrics")[1])
        for sample in family.samples
    }


def _ask(session: Session) -> None:
    with GoLikeClient(proxy=session.proxy, ca_file=session.bundle) as client:
        assert client.request("GET", URL).body == b"ok"


def _over_the_socket(path: str, control: str) -> bytes:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(30)
        sock.connect(control)
        sock.sendall(f"GET {path} HTTP/1.1\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while piece := sock.recv(65536):
            answer += piece
        return answer


def test_health_metrics_and_log_of_a_daemon_that_records(wiretape: Wiretape) -> None:
    wiretape.run("daemon", "--metrics=127.0.0.1:0", "--log-format=json")
    daemon = wiretape.status()["daemon"]
    url = daemon["metrics"]
    assert _get(f"{url}/health") == (200, '{"status": "alive"}\n')
    assert _get(f"{url}/ready") == (200, '{"problems": []}\n')
    assert _get(f"{url}/status")[0] == 404  # what it tells is for the control socket only
    with Upstream(whole(200, [], b"ok")) as upstream:
        session = wiretape.start("chat", *upstream.options())
        _ask(session)
        _ask(session)
        until(
            "both are counted",
            lambda: _metrics(url).get(("wiretape_interactions_total", "chat", "whole")) == 2,
        )
        before = _metrics(url)
        assert before["wiretape_exchanges_total", "api.openai.com", "complete"] == 2
        assert before["wiretape_body_bytes_total", "api.openai.com", "response"] == 4
        assert before["wiretape_time_to_first_byte_seconds_count", "api.openai.com"] == 2
        assert before["wiretape_journal_lag_bytes", "chat"] == 0
        os.kill(daemon["worker_pid"], signal.SIGKILL)
        until("the worker has a successor", lambda: _metrics(url)["wiretape_restarts_total", "worker"] == 1)
        until("it is ready again", lambda: _get(f"{url}/ready")[0] == 200)
        _ask(session)
        counted = ("wiretape_exchanges_total", "api.openai.com", "complete")
        until("what a dead worker counted is kept", lambda: _metrics(url)[counted] == 3)
    assert b"wiretape_sessions 1.0" in _over_the_socket("/metrics", daemon["socket"])
    assert _over_the_socket("/health", daemon["socket"]).startswith(b"HTTP/1.1 200 ")
    entries = [json.loads(line) for line in wiretape.run("logs").stdout.decode().splitlines()]
    (opened,) = [e for e in entries if e.get("event") == "session.opened" and e["process"] == "daemon"]
    assert opened["fields"]["session"] == "chat"


def test_daemon_is_not_ready_while_a_cassette_cannot_be_written(wiretape: Wiretape) -> None:
    assert wiretape.run("status", "--ready", check=False).returncode != 0
    with Upstream(whole(200, [], b"ok")) as upstream:
        session = wiretape.start("chat", *upstream.options())
        assert wiretape.run("status", "--ready").stdout == b"ready\n"
        session.cassette.write_text("not a cassette")
        _ask(session)
        done = until("it is told", lambda: _not_ready(wiretape))
        assert b"session 'chat'" in done
        assert b"chat.yaml" in done
        session.cassette.unlink()
        until("it is ready again", lambda: not _not_ready(wiretape))


def _not_ready(wiretape: Wiretape) -> bytes:
    done = wiretape.run("status", "--ready", check=False)
    return done.stdout if done.returncode == 1 else b""


def test_session_in_the_foreground_ends_with_its_command(wiretape: Wiretape, tmp_path: Path) -> None:
    with Upstream(whole(200, [], b"ok")) as upstream:
        path = wiretape.folder / "app.yaml"
        command = wiretape.popen("start", "app", "--foreground", f"--cassette={path}", *upstream.options())
        try:
            until(
                "the session is open", lambda: any(s["name"] == "app" for s in wiretape.status()["sessions"])
            )
            variables = json.loads(wiretape.run("env", "app", "--shell", "json").stdout)
            _ask(Session("app", path, variables))
            command.send_signal(signal.SIGTERM)
            said, _ = command.communicate(timeout=60)
        finally:
            command.kill()
            command.wait()
    assert command.returncode == 0
    assert b"1 interaction" in said
    assert len(cassette.load(path).interactions) == 1
    assert wiretape.status()["sessions"] == []


def test_session_in_the_foreground_that_is_stopped_elsewhere_ends_its_command(wiretape: Wiretape) -> None:
    command = wiretape.popen("start", "app", "--foreground")
    try:
        until("the session is open", lambda: any(s["name"] == "app" for s in wiretape.status()["sessions"]))
        wiretape.stop("app")
        until("the command ends", lambda: command.poll() is not None)
    finally:
        command.kill()
        command.wait()
    assert command.returncode == 0


def test_killed_command_takes_its_foreground_session_along(wiretape: Wiretape) -> None:
    command = wiretape.popen("start", "app", "--foreground")
    until("the session is open", lambda: any(s["name"] == "app" for s in wiretape.status()["sessions"]))
    command.kill()
    command.wait()
    assert has_ended(command.pid)
    until("the session is closed", lambda: not wiretape.status()["sessions"])
