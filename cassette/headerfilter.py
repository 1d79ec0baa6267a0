"""Which headers a cassette keeps, by name, by side and by host; and which values the journal must not see.

For one header the first of these that applies decides:

    unsafe_keep  the value as it is, a credential too; full names only, one by one
    drop         the header is left out
    replace      another value in its place
    redact       REDACTED in its place
    keep         the value as it is; REDACTED if it is a credential (`cassette.credentials`)
    -            what no rule names is left out

Names are compared without case and may be globs (`x-ratelimit-*`; `fnmatch`), except in `unsafe_keep`. The
rules of every matching host pattern are added to the global ones; of two replacements for one header a full
name beats a glob, then the later beats the earlier. Secrets in the URLs that some headers carry are redacted
in any case.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import translate
from typing import Any

from cassette import hostpattern
from cassette.credentials import (
    REDACTED,
    is_secret_request_header,
    is_secret_response_header,
    redact_link,
    redact_url,
)
from cassette.exchange import HeaderPairs

# A client chooses the names that it sends and, within a pattern, its hosts: what is remembered is bounded.
_MOST_NAMES = 512
_LONGEST_NAME = 128
_MOST_HOSTS = 256

# What the wire format is understood by: replacing these in the journal would spoil the recording itself.
# None of them holds a credential, and the cassette's own filter applies to them as to any other header.
_NEEDED_BY_THE_SCRIBE = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "host",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
    }
)


@dataclass(frozen=True, slots=True)
class HeaderRules:
    """The rules for one side, request or response. Names or globs, in any case."""

    keep: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    redact: tuple[str, ...] = ()
    replace: tuple[tuple[str, str], ...] = ()
    """Pairs of a name and the value to write."""
    unsafe_keep: tuple[str, ...] = ()
    """Full names whose value is kept although it may be a credential."""

    def __add__(self, other: HeaderRules) -> HeaderRules:
        """Return both, this one's first."""
        return HeaderRules(
            self.keep + other.keep,
            self.drop + other.drop,
            self.redact + other.redact,
            self.replace + other.replace,
            self.unsafe_keep + other.unsafe_keep,
        )


@dataclass(frozen=True, slots=True)
class HeaderPolicy:
    """All rules of a session: the global ones, and those for hosts."""

    request: HeaderRules = HeaderRules()
    response: HeaderRules = HeaderRules()
    hosts: tuple[tuple[str, HeaderRules, HeaderRules], ...] = ()
    """Host pattern (`cassette.hostpattern`), rules for requests, rules for responses."""
    _patterns: tuple[hostpattern.HostPattern, ...] = field(init=False, repr=False, compare=False)
    _by_host: dict[tuple[str, int], HostFilter] = field(init=False, repr=False, compare=False)
    _by_rules: dict[tuple[int, ...], HostFilter] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Raise ValueError when a host pattern is wrong."""
        object.__setattr__(self, "_patterns", tuple(hostpattern.parse(text) for text, _, _ in self.hosts))
        object.__setattr__(self, "_by_host", {})
        object.__setattr__(self, "_by_rules", {})

    def for_host(self, host: str, port: int) -> HostFilter:
        """Return the filter for this host. Remembered, so a call costs a lookup."""
        found = self._by_host.get((host, port))
        if found is None:
            normal = hostpattern.normalize_host(host)
            matching = tuple(i for i, pattern in enumerate(self._patterns) if pattern.matches(normal, port))
            found = self._by_rules.get(matching)
            if found is None:
                request, response = self.request, self.response
                for index in matching:
                    request += self.hosts[index][1]
                    response += self.hosts[index][2]
                found = HostFilter(request, response)
                _remember(self._by_rules, matching, found, _MOST_HOSTS)
            if len(host) <= 255:
                _remember(self._by_host, (host, port), found, _MOST_HOSTS)
        return found

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types, from which `from_json` builds an equal policy."""
        return {
            "request": _rules_to_json(self.request),
            "response": _rules_to_json(self.response),
            "hosts": [
                {"pattern": pattern, "request": _rules_to_json(request), "response": _rules_to_json(response)}
                for pattern, request, response in self.hosts
            ],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> HeaderPolicy:
        """Build the policy that `to_json` described; KeyError, TypeError or ValueError for anything else."""
        return cls(
            _rules_from_json(data["request"]),
            _rules_from_json(data["response"]),
            tuple(
                (
                    str(entry["pattern"]),
                    _rules_from_json(entry["request"]),
                    _rules_from_json(entry["response"]),
                )
                for entry in data["hosts"]
            ),
        )


def _rules_to_json(rules: HeaderRules) -> dict[str, Any]:
    return {
        "keep": list(rules.keep),
        "drop": list(rules.drop),
        "redact": list(rules.redact),
        "replace": [list(pair) for pair in rules.replace],
        "unsafe_keep": list(rules.unsafe_keep),
    }


def _rules_from_json(data: Mapping[str, Any]) -> HeaderRules:
    return HeaderRules(
        keep=tuple(data["keep"]),
        drop=tuple(data["drop"]),
        redact=tuple(data["redact"]),
        replace=tuple((name, value) for name, value in data["replace"]),
        unsafe_keep=tuple(data["unsafe_keep"]),
    )


class HostFilter:
    """The rules that hold for one host, ready to be applied. Remembers what it decided about a name.

    Each method returns the very tuple it was given when nothing changes.
    """

    def __init__(self, request: HeaderRules, response: HeaderRules) -> None:
        request_side = _Side(request, is_secret_request_header)
        response_side = _Side(response, is_secret_response_header)
        self._journal_request = _Actions(request_side.for_journal)
        self._journal_response = _Actions(response_side.for_journal)
        self._cassette_request = _Actions(request_side.for_cassette)
        self._cassette_response = _Actions(response_side.for_cassette)

    def redact_request(self, pairs: HeaderPairs) -> HeaderPairs:
        """Make a request's headers fit for the journal: all names, no credential's value."""
        return _apply(self._journal_request, pairs)

    def redact_response(self, pairs: HeaderPairs) -> HeaderPairs:
        """Make a response's headers fit for the journal: all names, no credential's value."""
        return _apply(self._journal_response, pairs)

    def filter_request(self, pairs: HeaderPairs) -> HeaderPairs:
        """Return what the cassette holds of a request's headers."""
        return _apply(self._cassette_request, pairs)

    def filter_response(self, pairs: HeaderPairs) -> HeaderPairs:
        """Return what the cassette holds of a response's headers."""
        return _apply(self._cassette_response, pairs)


_Action = Callable[[str], str | None]
"""A value to what is stored of it; None leaves the header out."""


def _redacted(_value: str) -> str:
    return REDACTED


def _dropped(_value: str) -> None:
    return None


class _Side:
    """One side's rules, compiled: what to do with a header, by its name in lower case; None keeps it."""

    def __init__(self, rules: HeaderRules, is_secret: Callable[[str], bool]) -> None:
        self._is_secret = is_secret
        self._keep = _matcher(rules.keep)
        self._drop = _matcher(rules.drop)
        self._redact = _matcher(rules.redact)
        self._unsafe = frozenset(name.strip().lower() for name in rules.unsafe_keep)
        latest_first = rules.replace[::-1]
        exact_first = sorted(latest_first, key=lambda pair: _is_glob(pair[0]))
        self._replace = tuple((_matcher((name,)), value) for name, value in exact_first)

    def for_journal(self, name: str) -> _Action | None:
        if name in self._unsafe:
            return None
        if self._is_secret(name) or (name not in _NEEDED_BY_THE_SCRIBE and self._redact(name)):
            return _redacted
        return _action_on_urls(name)

    def for_cassette(self, name: str) -> _Action | None:
        if name in self._unsafe:
            return None
        if self._drop(name):
            return _dropped
        for matches, value in self._replace:
            if matches(name):
                return _constant(value)
        if self._redact(name):
            return _redacted
        if not self._keep(name):
            return _dropped
        return _redacted if self._is_secret(name) else _action_on_urls(name)


class _Actions(dict[str, _Action | None]):
    """Header names as they came, each with what to do: decided when first seen, forgotten when too many."""

    __slots__ = ("_decide",)

    def __init__(self, decide: Callable[[str], _Action | None]) -> None:
        super().__init__()
        self._decide = decide

    def __missing__(self, name: str) -> _Action | None:
        action = self._decide(name.strip().lower())
        if len(name) <= _LONGEST_NAME:
            _remember(self, name, action, _MOST_NAMES)
        return action


def _apply(actions: _Actions, pairs: HeaderPairs) -> HeaderPairs:
    stored_pairs: list[tuple[str, str]] | None = None
    for index, pair in enumerate(pairs):
        action = actions[pair[0]]
        stored = pair[1] if action is None else action(pair[1])
        if stored_pairs is None:
            if stored == pair[1]:
                continue
            stored_pairs = list(pairs[:index])
        if stored is not None:
            stored_pairs.append((pair[0], stored))
    return pairs if stored_pairs is None else tuple(stored_pairs)


def _action_on_urls(name: str) -> _Action | None:
    """Choose by its name how the URLs in a header's value are redacted.

    `X-Goog-Upload-URL` (Gemini's files), `Operation-Location` (Azure), `Refresh: 5; url=...` and what proxies
    add, `X-Original-URL`, carry them beside the headers of RFC 9110.
    """
    if name == "link":
        return redact_link
    if name == "refresh" or name.endswith(("location", "referer", "referrer", "-url", "-uri")):
        return redact_url
    return None


def _constant(value: str) -> _Action:
    return lambda _value: value


def _is_glob(name: str) -> bool:
    return any(character in name for character in "*?[")


def _matcher(names: Iterable[str]) -> Callable[[str], bool]:
    """Return a test for a name in lower case: one lookup and, when there are globs, one expression."""
    lowered = [name.strip().lower() for name in names]
    full_names = frozenset(name for name in lowered if not _is_glob(name))
    globs = [translate(name) for name in lowered if _is_glob(name)]
    if not globs:
        return full_names.__contains__
    expression = re.compile("|".join(globs))
    return lambda name: name in full_names or expression.match(name) is not None


def _remember(cache: dict[Any, Any], key: object, value: object, most: int) -> None:
    """Store it; empty the cache first when it is full, which costs less than tracking what was used last."""
    if len(cache) >= most:
        cache.clear()
    cache[key] = value
