from __future__ import annotations

import io
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from proxy_cli import demo_client


def event(delta: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps({"choices": [{"delta": delta}]}).encode() + b"\n\n"


def call(**function: str) -> dict[str, Any]:
    return {"tool_calls": [{"index": 0, "id": "c1", "function": function}]}


TURNS = [
    event(call(name="add", arguments=""))
    + event(call(arguments='{"a": 40,'))
    + event(call(arguments='"b": 2}')),
    event({"content": "It is "}) + event({"content": "42."}),
]


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[urllib.request.Request]:
    seen: list[urllib.request.Request] = []

    @contextmanager
    def urlopen(request: urllib.request.Request, timeout: float) -> Iterator[io.BytesIO]:
        seen.append(request)
        yield io.BytesIO(TURNS[len(seen) - 1] + b"data: [DONE]\n\n")

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    return seen


def body(request: urllib.request.Request) -> Any:
    assert isinstance(request.data, bytes)
    return json.loads(request.data)


def test_the_tool_is_run_and_its_result_sent_back(requests: list[urllib.request.Request]) -> None:
    assert demo_client.main() == 0
    question, reply, result = body(requests[1])["messages"]
    assert [question] == body(requests[0])["messages"]
    assert reply["tool_calls"][0]["function"] == {"name": "add", "arguments": '{"a": 40,"b": 2}'}
    assert result == {"role": "tool", "tool_call_id": "c1", "content": "42"}


def test_pieces_and_the_answer_are_printed(
    requests: list[urllib.request.Request], capsys: pytest.CaptureFixture[str]
) -> None:
    demo_client.main()
    lines = capsys.readouterr().out.splitlines()
    assert "> add(40, 2) = 42" in lines
    assert [line.split(" ms  ")[1] for line in lines if " ms  " in line][-2:] == ["It is ", "42."]
    assert lines[-1] == "= It is 42."


def test_both_requests_carry_the_key(requests: list[urllib.request.Request]) -> None:
    demo_client.main()
    sent = [request.get_header("Authorization") for request in requests]
    assert sent == [f"Bearer {demo_client.demo_key()}"] * 2


def test_a_router_that_cannot_be_reached_is_a_failure_with_a_reason(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise urllib.error.URLError("refused")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    assert demo_client.main() == 1
    assert "refused" in capsys.readouterr().err
