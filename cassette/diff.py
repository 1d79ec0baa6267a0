"""Compare two cassettes interaction by interaction: what was asked, and what of the answers matters to a person.

Interactions are paired by content first, as on replay (`cassette.canonical`, the strictest level first), then,
among those left of one method and url, by likeness. So one that moved is no difference, and one that was put
in between does not make all that follow one. Requests are compared by their canonical bodies, answers by status,
model, text, tool calls, finish reason, usage and error; where nothing of an answer can be read as a conversation,
by its canonical body. Headers, times, chunks, ids and whatever the rules leave out are no difference.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

from cassette.bodies import Body, Kind, read_body
from cassette.canonical import (
    body_of,
    body_under_rules,
    content_type_of,
    exact_key,
    json_key,
    place_of,
    redacted_request,
    request_body_under_rules,
    rules_key,
)
from cassette.conversation import Conversation, ToolCall, Usage, read_conversation
from cassette.explain import diff_requests
from cassette.matchrules import EVERYTHING_VOLATILE, MatchRules, plan
from cassette.model import Cassette, Interaction, Request
from cassette.textdiff import Drawing, likeness, words

MAX_PAIRS = 2500
"""Pairs of unequal interactions of one url that are judged by likeness; more are paired in order. Chosen."""


class DifferenceKind(enum.Enum):
    """What became of an interaction; the value is part of the JSON that scripts read."""

    CHANGED = "changed"
    REMOVED = "removed"
    ADDED = "added"


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that two answers differ in. Texts without credentials, of any number of lines."""

    what: str
    """`body`, `status`, `model`, `text`, `tool calls`, `finish reason`, `error` or `usage` (counts that differ)."""
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Difference:
    """One interaction that is not the same in both cassettes."""

    kind: DifferenceKind
    before: Interaction | None
    """None when it was added."""
    after: Interaction | None
    """None when it was removed."""
    request: str = ""
    """A unified diff; empty when the requests are the same call."""
    response: tuple[Change, ...] = ()


def diff(
    a: Cassette,
    b: Cassette,
    rules: MatchRules = EVERYTHING_VOLATILE,
    *,
    requests: bool = True,
    responses: bool = True,
) -> tuple[Difference, ...]:
    """Return what differs from `a` to `b`: what is in `a` in its order, then what was added; nothing if all is one.

    Without `requests` or `responses` that side of a pair is not compared. The paths that the rules ignore are
    ignored in answers that are no conversation, too.
    """
    pairs = _pairs(a.interactions, b.interactions, rules)
    found: list[Difference] = []
    for position, before in enumerate(a.interactions):
        if position not in pairs:
            found.append(Difference(DifferenceKind.REMOVED, before, None))
            continue
        other, is_same_call = pairs[position]
        after = b.interactions[other]
        asked = "" if is_same_call or not requests else _request_diff(before, after, rules)
        answered = tuple(_changes(before, after, rules)) if responses else ()
        if asked or answered:
            found.append(Difference(DifferenceKind.CHANGED, before, after, asked, answered))
    paired = {other for other, _ in pairs.values()}
    found += [
        Difference(DifferenceKind.ADDED, None, after)
        for position, after in enumerate(b.interactions)
        if position not in paired
    ]
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Side:
    """A request with its keys, and the words of its body."""

    place: tuple[str, str]
    keys: tuple[Hashable, Hashable, Hashable]
    words: Counter[str]

    @classmethod
    def of(cls, interaction: Interaction, rules: MatchRules) -> _Side:
        request = _without_credentials(interaction.request)
        body = body_of(request)
        place = place_of(request, rules)
        keys = (
            exact_key(request),
            (place, json_key(request, body)),
            (place, rules_key(request, body, rules)),
        )
        return cls(place, keys, words(request_body_under_rules(request, body, rules)))


def _pairs(
    a: Sequence[Interaction], b: Sequence[Interaction], rules: MatchRules
) -> dict[int, tuple[int, bool]]:
    """Return for positions in `a` those in `b`, and whether the two are the same call."""
    before = [_Side.of(interaction, rules) for interaction in a]
    after = [_Side.of(interaction, rules) for interaction in b]
    pairs: dict[int, tuple[int, bool]] = {}
    left_a, left_b = range(len(a)), range(len(b))

    def unpaired() -> tuple[list[int], list[int]]:
        taken = {other for other, _ in pairs.values()}
        return [at for at in left_a if at not in pairs], [at for at in left_b if at not in taken]

    for level in range(3):
        ours, theirs = unpaired()
        waiting = _grouped(theirs, [side.keys[level] for side in after])
        for position in ours:
            queue = waiting.get(before[position].keys[level])
            if queue:
                pairs[position] = queue.pop(0), True
    ours, theirs = unpaired()
    of_place = _grouped(theirs, [side.place for side in after])
    for place, those in _grouped(ours, [side.place for side in before]).items():
        for position, other in _by_likeness(those, of_place.get(place, []), before, after):
            pairs[position] = other, False
    return pairs


def _grouped(positions: Sequence[int], keys: Sequence[Hashable]) -> dict[Hashable, list[int]]:
    """Return the positions by their keys; `keys` has one for every position there is."""
    groups: dict[Hashable, list[int]] = {}
    for position in positions:
        groups.setdefault(keys[position], []).append(position)
    return groups


def _by_likeness(
    ours: list[int], theirs: list[int], before: Sequence[_Side], after: Sequence[_Side]
) -> list[tuple[int, int]]:
    """Return pairs, the most alike first; of equals the first."""
    if len(ours) * len(theirs) > MAX_PAIRS:
        return list(zip(ours, theirs, strict=False))
    ranked = sorted(
        (-likeness(before[a].words, after[b].words), rank_a, rank_b)
        for rank_a, a in enumerate(ours)
        for rank_b, b in enumerate(theirs)
    )
    pairs: dict[int, int] = {}
    for _, rank_a, rank_b in ranked:
        if rank_a not in pairs and rank_b not in pairs.values():
            pairs[rank_a] = rank_b
    return [(ours[rank_a], theirs[rank_b]) for rank_a, rank_b in pairs.items()]


def _without_credentials(request: Request) -> Request:
    headers = (("Content-Type", content_type_of(request)),)
    return redacted_request(request.method, request.url, headers, request.body)


def _request_diff(before: Interaction, after: Interaction, rules: MatchRules) -> str:
    requests = [_without_credentials(interaction.request) for interaction in (before, after)]
    names = f"interaction {before.id}", f"interaction {after.id}"
    return diff_requests(requests[0], requests[1], rules, *names)


def _changes(before: Interaction, after: Interaction, rules: MatchRules) -> Iterator[Change]:
    drawing = Drawing()
    conversations = read_conversation(before), read_conversation(after)
    facts = [
        {"status": str(interaction.response.code), **_facts(conversation, rules)}
        for interaction, conversation in zip((before, after), conversations, strict=True)
    ]
    if not all(_says_something(conversation) for conversation in conversations):
        bodies = [_answer(interaction, rules) for interaction in (before, after)]
        if bodies[0] != bodies[1]:
            sides = ("\n".join(drawing.lines(body)) for body in bodies)
            yield Change("body", *sides)
    for what in facts[0]:
        if facts[0][what] != facts[1][what]:
            sides = ("\n".join(drawing.lines(Body(Kind.TEXT, fact[what]))) for fact in facts)
            yield Change(what, *sides)
    counts = [asdict(conversation.usage or Usage()) for conversation in conversations]
    if counts[0] != counts[1]:
        changed = [name for name in counts[0] if counts[0][name] != counts[1][name]]
        yield Change("usage", *(_counts_text(side, changed) for side in counts))


def _counts_text(counts: Mapping[str, int | None], names: Sequence[str]) -> str:
    return ", ".join(f"{name} {counts[name]}" for name in names if counts[name] is not None)


def _facts(conversation: Conversation, rules: MatchRules) -> dict[str, str]:
    """Return what matters of an answer, by name, in the order in which it is shown."""
    texts = [message.text for message in conversation.answer if message.text]
    calls = [call for message in conversation.answer for call in message.tool_calls]
    return {
        "model": conversation.answering_model,
        "text": _under_rules("\n\n".join(texts), rules),
        "tool calls": "\n".join(_call_text(call, rules) for call in calls),
        "finish reason": conversation.finish_reason,
        "error": _under_rules(conversation.error, rules),
    }


def _says_something(conversation: Conversation) -> bool:
    return bool(conversation.answer or conversation.error or conversation.finish_reason or conversation.usage)


def _call_text(call: ToolCall, rules: MatchRules) -> str:
    arguments = read_body(call.arguments.encode("utf-8", "surrogatepass"))
    left = body_under_rules(arguments, plan(_texts_only(rules), ()))
    return f"{call.name}({left.value if left.kind is Kind.TEXT else left.text})"


def _under_rules(text: str, rules: MatchRules) -> str:
    return str(body_under_rules(Body(Kind.TEXT, text), plan(_texts_only(rules), ())).value)


def _texts_only(rules: MatchRules) -> MatchRules:
    return MatchRules(volatile=rules.volatile, patterns=rules.patterns, profiles=())


def _answer(interaction: Interaction, rules: MatchRules) -> Body:
    headers = interaction.response.headers.items()
    content_type = next((v[0] for name, v in headers if name.lower() == "content-type" and v), "")
    return body_under_rules(read_body(interaction.response.body, content_type), plan(rules, ()))
