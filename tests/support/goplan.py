"""Plans for the Go programs (`tests/e2e/go/plan`), and what they report."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DEADLINE_S = 120.0


@dataclass(frozen=True, slots=True)
class GoRequest:
    """One call of a Go program."""

    method: str
    url: str
    headers: Mapping[str, Sequence[str]] = field(default_factory=dict)
    body: bytes = b""
    chunked: bool = False
    trace: bool = False


@dataclass(frozen=True, slots=True)
class GoGroup:
    """One http.Client's calls, in order; through `proxy` (`env`: as HTTPS_PROXY says) or to `dial`."""

    name: str
    requests: Sequence[GoRequest]
    proxy: str = ""
    dial: str = ""
    ca_file: str = ""
    http1: bool = False
    empty_host: bool = True
    cassette: str = ""
    mode: str = ""
    matcher: str = ""
    layout: str = ""


@dataclass(frozen=True, slots=True)
class GoResult:
    """What came of one call."""

    group: str
    request: int
    error: str
    status: str
    proto: str
    header: Mapping[str, Sequence[str]]
    length: int
    sha256: str


def plan_text(groups: Iterable[GoGroup], parallel: int = 1) -> bytes:
    """Write a plan down for a program's standard input."""
    return json.dumps({"parallel": parallel, "groups": [_group(group) for group in groups]}).encode()


def parse_results(output: bytes) -> list[GoResult]:
    """Read what a program printed, pieces of bodies left out."""
    return [_result(line) for line in map(json.loads, output.splitlines()) if "chunk" not in line]


def run_plan(program: Path, groups: Sequence[GoGroup], parallel: int = 1) -> dict[str, list[GoResult]]:
    """Run a program to its end; each group's results in the order of its requests."""
    done = subprocess.run(
        [program], input=plan_text(groups, parallel), capture_output=True, timeout=DEADLINE_S, check=False
    )
    if done.returncode != 0:
        raise AssertionError(
            f"{program.name}: exit {done.returncode}: {done.stderr.decode(errors='replace')}"
        )
    found: dict[str, list[GoResult]] = {group.name: [] for group in groups}
    for result in parse_results(done.stdout):
        found[result.group].append(result)
    return found


def _group(group: GoGroup) -> dict[str, Any]:
    fields = {name: getattr(group, name) for name in GoGroup.__dataclass_fields__}
    return {**fields, "requests": [_request(request) for request in group.requests]}


def _request(request: GoRequest) -> dict[str, Any]:
    fields = {name: getattr(request, name) for name in GoRequest.__dataclass_fields__}
    headers = {name: list(values) for name, values in request.headers.items()}
    return {**fields, "headers": headers, "body": base64.b64encode(request.body).decode()}


def _result(line: dict[str, Any]) -> GoResult:
    defaults: dict[str, Any] = {"error": "", "status": "", "proto": "", "header": {}, "sha256": ""}
    return GoResult(**{**defaults, **line})
