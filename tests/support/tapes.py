"""Cassettes to be replayed: made, merged, written down, and what clients say to get each of their answers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from cassette import dumps, load
from cassette.model import Cassette, Interaction, Request, Response
from tests.support.golike import Answer
from tests.support.goplan import GoGroup, GoRequest, GoResult
from tests.support.wiretape import Session, Wiretape

CHAT = "https://api.openai.com/v1/chat/completions"
JSON = "application/json"
_STATUS = {200: "200 OK", 429: "429 Too Many Requests"}


def call(
    body: object,
    answer: bytes,
    *,
    url: str = CHAT,
    code: int = 200,
    content_type: str = JSON,
    headers: Mapping[str, tuple[str, ...]] | None = None,
) -> Interaction:
    """Return an interaction: a POST with JSON, and its answer."""
    sent = json.dumps(body).encode()
    return Interaction(
        0,
        Request("POST", url, sent, {"Content-Type": (JSON,)}, content_length=len(sent)),
        Response(_STATUS[code], code, answer, {"Content-Type": (content_type,), **(headers or {})}),
    )


def numbered(interactions: Iterable[Interaction]) -> tuple[Interaction, ...]:
    """Give the interactions the ids 0, 1, 2 and so on."""
    return tuple(replace(one, id=number) for number, one in enumerate(interactions))


def write_tape(path: Path, interactions: Iterable[Interaction]) -> Path:
    """Write a cassette of these interactions, numbered anew."""
    path.write_bytes(dumps(Cassette(numbered(interactions))))
    return path


def interactions_of(paths: Iterable[Path]) -> list[Interaction]:
    """Return the interactions of several cassettes, one behind the other."""
    return [one for path in paths for one in load(path).interactions]


def go_group(
    name: str, session: Session, interactions: Iterable[Interaction], *, http1: bool = False
) -> GoGroup:
    """Return what a Go client says to get the answers of these interactions."""
    requests = [
        GoRequest(one.request.method, one.request.url, _lists(one.request.headers), one.request.body)
        for one in interactions
    ]
    return GoGroup(name, requests, proxy=f"http://{session.proxy}", ca_file=str(session.bundle), http1=http1)


def differences(
    interactions: Iterable[Interaction], results: Iterable[GoResult], *, http1: bool
) -> list[str]:
    """Say where what a Go client got is not what was recorded: protocol, status, headers or body."""
    found = []
    for one, result in zip(interactions, results, strict=True):
        seen = (result.error, result.proto, result.status, _lists(result.header), result.sha256)
        checksum = hashlib.sha256(one.response.body).hexdigest()
        # HTTP/2 has no reason phrases; Go puts in the usual one. In the clear it speaks HTTP/1.1 only.
        proto = "HTTP/1.1" if http1 or one.request.url.startswith("http:") else "HTTP/2.0"
        wanted = ("", proto, one.response.status, headers_of(one), checksum)
        if seen != wanted:
            found.append(f"interaction {one.id} of {one.request.url}: {seen}, and not {wanted}")
    return found


def headers_of(one: Interaction) -> dict[str, list[str]]:
    """Return the headers with which a recorded response goes out: its own, and a length where it had one."""
    response, length = one.response, one.response.content_length
    has_length = length == len(response.body) or (length > 0 and one.request.method == "HEAD")
    told = has_length and response.code not in (204, 304)
    return _lists(response.headers) | ({"Content-Length": [str(length)]} if told else {})


def is_answer(one: Interaction, answer: Answer) -> bool:
    """Tell whether a client got what was recorded; names of headers in any case, framing aside."""
    wanted = {(name.lower(), value) for name, values in headers_of(one).items() for value in values}
    seen = {(name.lower(), value) for name, value in answer.headers} - {("transfer-encoding", "chunked")}
    return (answer.status, answer.body, seen) == (one.response.code, one.response.body, wanted)


def counts(wiretape: Wiretape, name: str) -> tuple[int, int, int]:
    """Return a session's hits, misses and unused interactions."""
    (session,) = [one for one in wiretape.status()["sessions"] if one["name"] == name]
    return session["hits"], session["misses"], session["unused"]


def _lists(values: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
    return {name: list(lines) for name, lines in values.items()}
