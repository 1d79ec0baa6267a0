"""Cassettes as texts: read apart from the project's own reader, cut into items, made comparable.

The tests compare bytes. Only what no wire shows is changed before that, and in the old text only; durations
are set to zero in both.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import yaml

_ITEM = re.compile(rb"(?m)^(?: {4})?- id: ")
_DURATION = re.compile(rb"(?m)^((?: {4}){1,2})duration: (?:[0-9.]+(?:h|m|s|ms|\xc2\xb5s|ns))+$")


class _Loader(yaml.CBaseLoader):
    """Every scalar as text, except that `!!binary` gives bytes."""


def _binary(loader: yaml.CBaseLoader, node: yaml.ScalarNode) -> bytes:
    return base64.b64decode(node.value)


_Loader.add_constructor("tag:yaml.org,2002:binary", _binary)


@dataclass(frozen=True, slots=True)
class Recorded:
    """One interaction of a cassette, as far as playing it again needs it."""

    method: str
    url: str
    host: str
    request_headers: dict[str, list[str]]
    request_body: bytes
    request_length: int
    proto: str
    status: str
    response_headers: dict[str, list[str]]
    response_body: bytes
    response_length: int
    uncompressed: bool

    @property
    def code(self) -> int:
        """The status code."""
        return int(self.status.split(" ", 1)[0])


def interactions(text: bytes) -> list[Recorded]:
    """Read the interactions of a cassette."""
    document = yaml.load(text, Loader=_Loader)  # it builds nothing but text and bytes
    return [_recorded(item) for item in document["interactions"]]


def _recorded(item: dict[str, Any]) -> Recorded:
    request, response = item["request"], item["response"]
    return Recorded(
        method=request["method"],
        url=request["url"],
        host=request["host"],
        request_headers=request.get("headers", {}),
        request_body=_bytes(request.get("body", "")),
        request_length=int(request["content_length"]),
        proto=response["proto"],
        status=response["status"],
        response_headers=response["headers"] or {},
        response_body=_bytes(response["body"]),
        response_length=int(response["content_length"]),
        uncompressed=response.get("uncompressed") == "true",
    )


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode()


def without_durations(text: bytes) -> bytes:
    """Set every duration to zero; `ValueError` unless each interaction has exactly one that can be read."""
    changed, count = _DURATION.subn(rb"\1duration: 0s", text)
    if count != len(_ITEM.findall(text)):
        raise ValueError(f"{len(_ITEM.findall(text))} interactions, but {count} durations")
    return changed


def as_the_wire_shows(text: bytes) -> bytes:
    """Take from an old recording what no wire shows: a second User-Agent, a length that is not the body's."""
    starts = [match.start() for match in _ITEM.finditer(text)]
    head = text[: starts[0]] if starts else text
    items = [text[start:end] for start, end in zip(starts, [*starts[1:], len(text)], strict=True)]
    return head + b"".join(_shown(items, interactions(text)))


def _shown(items: list[bytes], recorded: Iterable[Recorded]) -> Iterable[bytes]:
    for item, interaction in zip(items, recorded, strict=True):
        shown = item
        length = len(interaction.request_body)
        if interaction.request_length != length:
            # The request's length comes before its body, so the first line of that name is the one.
            shown = re.sub(
                rb"(?m)^( +)content_length: -?\d+$", rb"\g<1>content_length: %d" % length, shown, count=1
            )
        agents = interaction.request_headers.get("User-Agent", [])
        if len(agents) > 1:
            shown = _with_one_agent(shown, agents)
        yield shown


def _with_one_agent(item: bytes, agents: list[str]) -> bytes:
    first, *others = (re.escape(agent.encode()) + rb"\n" for agent in agents)
    wanted = rb"(?m)^( +User-Agent:\n( *- )" + first + rb")" + b"".join(rb"\2" + other for other in others)
    shown, count = re.subn(wanted, rb"\1", item)
    if count != 1:
        raise ValueError(f"{count} places with the values of User-Agent: {agents}")
    return shown
