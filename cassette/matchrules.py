"""The rules by which two requests may differ and still be the same call. Data: it travels as JSON.

The defaults take nothing for volatile that could be content. A date in a prompt may be today's, or what is
asked about; only the user knows, and names it:

    MatchRules(ignore_paths=("metadata.trace_id",), volatile=("uuid", "date"), patterns=(("build", "b[0-9]+"),))
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from cassette.jsonpaths import PathNode, parse_path, path_tree
from cassette.profiles import AUTO, PROFILES, check_profile

# A look behind stands after the first character, so that `re` can search for that: twice as fast.
_DATE = r"(?:19|2[01])(?<![0-9]..)[0-9]{2}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"
_DATE_HINT = r"-[01][0-9]-[0-3][0-9]"
# What providers call their answers, messages, items and tool calls, as far as they go by a prefix.
_ID_PREFIXES = (
    *("call", "chatcmpl", "cmpl", "ctc", "fc", "gen", "item", "msg", "resp", "rs", "run", "srvtoolu"),
    *("thread", "toolu", "tooluse", "ws"),
)
# The prefix stays, so that a search can start at what follows it.
_ID_PREFIX = "|".join(f"(?<={prefix}.)(?<![0-9A-Za-z_-]{prefix}.)" for prefix in _ID_PREFIXES)


@dataclass(frozen=True, slots=True)
class Volatile:
    """What changes from run to run within texts."""

    expression: str
    is_identity: bool
    """Whether equal values stay equal and different ones different: ids do, two clock readings need not."""
    hint: str = ""
    """An expression for a part of every match that is searched for in a fraction of the time."""


VOLATILE: Mapping[str, Volatile] = {
    "uuid": Volatile(
        r"[0-9A-Fa-f](?<![0-9A-Za-z].)[0-9A-Fa-f]{7}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}(?![0-9A-Za-z])",
        is_identity=True,
        hint=r"-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-",
    ),
    "call-id": Volatile(rf"[_-](?:{_ID_PREFIX})(?=[A-Za-z_-]*[0-9])[0-9A-Za-z_-]{{12,}}", is_identity=True),
    # Before dates, which they start with. ISO 8601 and RFC 3339, a space for the T too.
    "timestamp": Volatile(
        _DATE + r"[T ][0-2][0-9]:[0-5][0-9](?::[0-6][0-9](?:[.,][0-9]{1,9})?)?"
        r"(?: ?Z| ?UTC| ?[+-][0-2][0-9]:?[0-5][0-9])?(?![0-9])",
        is_identity=False,
        hint=_DATE_HINT,
    ),
    "date": Volatile(_DATE + r"(?![0-9])", is_identity=False, hint=_DATE_HINT),
}
"""The built-in ones by name, in the order in which they are applied."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True, slots=True)
class MatchRules:
    """What a user chose. ValueError, which names the wrong one, when a part of it cannot be understood."""

    ignore_paths: tuple[str, ...] = ()
    """Places in bodies that are not compared (`cassette.jsonpaths`)."""
    ignore_query: tuple[str, ...] = ()
    """Names of query parameters that are not compared, in any case."""
    volatile: tuple[str, ...] = ()
    """Names in `VOLATILE`: what they find in the texts of bodies is not compared."""
    patterns: tuple[tuple[str, str], ...] = ()
    """More of those: a name to show in its place, and an expression (`re`)."""
    profiles: tuple[str, ...] = (AUTO,)
    """Names in `cassette.profiles`, or `auto`."""

    def __post_init__(self) -> None:
        """Raise ValueError for what cannot be understood."""
        for path in self.ignore_paths:
            parse_path(path)
        for name in self.volatile:
            if name not in VOLATILE:
                raise ValueError(f"{name!r} is no built-in pattern; there are {', '.join(VOLATILE)}")
        for name, expression in self.patterns:
            _check_pattern(name, expression)
        for name in self.profiles:
            check_profile(name)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types, from which `from_json` builds equal rules."""
        return {
            "ignore_paths": list(self.ignore_paths),
            "ignore_query": list(self.ignore_query),
            "volatile": list(self.volatile),
            "patterns": [list(pattern) for pattern in self.patterns],
            "profiles": list(self.profiles),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> MatchRules:
        """Build the rules that `to_json` described; KeyError, TypeError or ValueError for anything else."""
        return cls(
            ignore_paths=tuple(data["ignore_paths"]),
            ignore_query=tuple(data["ignore_query"]),
            volatile=tuple(data["volatile"]),
            patterns=tuple((name, expression) for name, expression in data["patterns"]),
            profiles=tuple(data["profiles"]),
        )


EVERYTHING_VOLATILE = MatchRules(volatile=tuple(VOLATILE))
"""For comparing two recordings, where a person looks at the outcome: every built-in pattern."""


def _check_pattern(name: str, expression: str) -> None:
    if not _NAME.fullmatch(name):
        raise ValueError(f"a pattern's name is letters, digits, - and _, not {name!r}")
    if name in VOLATILE:
        raise ValueError(f"the pattern {name!r} is built in; name it in `volatile`, or call yours otherwise")
    try:
        matches_nothing = re.compile(expression).search("") is not None
    except (re.error, OverflowError) as exc:
        raise ValueError(f"the pattern {name!r} is no regular expression: {exc}") from None
    if matches_nothing:
        raise ValueError(f"the pattern {name!r} matches the empty text, so everywhere: {expression}")


@dataclass(frozen=True, slots=True)
class Ignored:
    """Mark of a place that is not compared."""


@dataclass(frozen=True, slots=True)
class Issued:
    """Mark of a place with a text that the provider made up."""


@dataclass(frozen=True, slots=True)
class Varying:
    """Mark of a place with a text of which a part varies."""

    expression: re.Pattern[str]


Mark = Ignored | Issued | Varying


@dataclass(frozen=True, slots=True)
class TextRule:
    """What is replaced in every text."""

    name: str
    expression: re.Pattern[str]
    is_identity: bool = False
    hint: re.Pattern[str] | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """Rules and profiles, ready to be applied to the bodies of one dialect."""

    places: PathNode[Mark]
    texts: tuple[TextRule, ...]


@lru_cache(maxsize=64)
def plan(rules: MatchRules, profiles: tuple[str, ...]) -> Plan:
    """Return what is to be done by these rules with these profiles, `auto` not among them."""
    marked: list[tuple[str, Mark]] = [(path, Ignored()) for path in rules.ignore_paths]
    for name in profiles:
        profile = PROFILES[name]
        marked += [(path, Ignored()) for path in profile.ignored]
        marked += [(path, Issued()) for path in profile.issued]
        marked += [(path, Varying(re.compile(expression))) for path, expression in profile.volatile]
    return Plan(path_tree(marked), tuple(_texts(rules)))


def _texts(rules: MatchRules) -> Iterable[TextRule]:
    """Yield the patterns in the order of application: the user's first, who knows better."""
    for name, expression in rules.patterns:
        yield TextRule(name, re.compile(expression))
    for name, volatile in VOLATILE.items():
        if name in rules.volatile:
            hint = re.compile(volatile.hint) if volatile.hint else None
            yield TextRule(name, re.compile(volatile.expression), volatile.is_identity, hint)
