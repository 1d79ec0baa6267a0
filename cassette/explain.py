"""Say why no recorded interaction answers a request: the closest one, and how the two differ.

Takes longer than matching, so it is done when somebody wants to know. The time is bounded: the bodies of
candidates are read up to `MAX_READ` bytes in all, those first whose length is nearest, and the difference has
the limits of `cassette.textdiff`. Nothing that is said here holds a credential.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace

from cassette.bodies import Body, Kind
from cassette.canonical import (
    body_of,
    canonical_url,
    place_of,
    redact_values,
    request_body_under_rules,
    rules_key,
)
from cassette.jsonpaths import format_path
from cassette.match import Candidate, Miss, Reason
from cassette.matchrules import VOLATILE, MatchRules
from cassette.model import Interaction, Request
from cassette.textdiff import MAX_COMPARED, Drawing, likeness, unified_diff, words

MAX_READ = 1024 * 1024
"""Bytes of recorded bodies that are read to find the closest. Chosen: tenths of a second for texts."""
MAX_URLS = 500
"""Recorded urls that are compared with one that is not recorded, from the first on. Chosen, not measured."""
MAX_EXPLANATION = 6_000
"""Characters of an explanation, all in all. Chosen, not measured."""
_LONGEST_URL = 300
_SHOWN_URLS = 3
_SHOWN_PLACES = 5


@dataclass(frozen=True, slots=True)
class Closest:
    """The recorded interaction that is nearest to a request, and how they differ under the rules."""

    interaction: Interaction
    used: bool
    places: tuple[str, ...]
    """Where the bodies differ, as paths; empty when they are not of one kind, or too long."""
    volatile: tuple[str, ...]
    """Built-in patterns that would make the bodies equal; empty when they would not."""
    diff: str
    """A unified diff from the recording to the request: method and url, then the canonical body."""


def find_closest(miss: Miss) -> Closest | None:
    """Return the interaction that was most likely meant; None when there are no interactions at all."""
    if not miss.candidates:
        return None
    candidates: Iterable[Candidate] = miss.candidates
    if miss.reason is Reason.NOTHING_RECORDED:
        candidates = _nearest_by_url(miss)
    chosen = _nearest_by_body(miss.request, tuple(candidates), miss.rules)
    recorded = chosen.interaction.request
    found, wanted = _body(recorded, miss.rules), _body(miss.request, miss.rules)
    return Closest(
        chosen.interaction,
        chosen.used,
        tuple(differing_places(found, wanted)),
        _helpful_patterns(recorded, miss.request, miss.rules),
        diff_requests(recorded, miss.request, miss.rules, f"interaction {chosen.interaction.id}", "request"),
    )


def explain(miss: Miss) -> str:
    """Return why nothing answers a request, for a person: a paragraph and, where one helps, a diff."""
    request = miss.request
    asked = redact_values(f"{request.method} {_shortened(request.url)}")
    closest = find_closest(miss)
    if closest is None:
        return f"No recorded interaction answers {asked}: nothing is recorded."
    said = _paragraph(miss, asked, closest)
    # The body of a call to another url has nothing to say about this one.
    diff = closest.diff if miss.reason is Reason.BODIES_DIFFER else ""
    whole = f"{said}\n\n{diff}" if diff else said
    return whole if len(whole) <= MAX_EXPLANATION else f"{whole[:MAX_EXPLANATION]}\n… (cut here)"


def diff_requests(
    before: Request, after: Request, rules: MatchRules, before_name: str, after_name: str
) -> str:
    """Return a unified diff of what the rules leave of two requests; empty when they are the same call."""
    drawing = Drawing()
    sides = [_lines(request, rules, drawing) for request in (before, after)]
    return unified_diff(sides[0], sides[1], before_name, after_name)


def differing_places(a: Body, b: Body, most: int = 50) -> list[str]:
    """Return the paths at which two bodies differ, the shortest that tell, in order, at most so many."""
    found: list[str] = []
    if a.kind is b.kind and a.kind is not Kind.TEXT:
        _compare(a.value, b.value, (), found, most)
    return found


def _compare(a: object, b: object, steps: tuple[str | int, ...], found: list[str], most: int) -> None:
    if len(found) >= most:
        return
    if isinstance(a, dict) and isinstance(b, dict):
        for name in sorted(a.keys() | b.keys()):
            if name in a and name in b:
                _compare(a[name], b[name], (*steps, name), found, most)
            elif len(found) < most:
                found.append(format_path((*steps, name)))
    elif isinstance(a, list) and isinstance(b, list):
        for index, (one, other) in enumerate(zip(a, b, strict=False)):
            _compare(one, other, (*steps, index), found, most)
        if len(a) != len(b) and len(found) < most:
            found.append(format_path((*steps, min(len(a), len(b)))))
    elif type(a) is not type(b) or a != b:
        found.append(format_path(steps))


def _paragraph(miss: Miss, asked: str, closest: Closest) -> str:
    interaction = closest.interaction
    name = f"interaction {interaction.id}" + (", which has answered before" if closest.used else "")
    count = len(miss.candidates)
    match miss.reason:
        case Reason.ALL_USED:
            ids = ", ".join(str(candidate.interaction.id) for candidate in miss.candidates[:10])
            more = f" and {count - 10} more" if count > 10 else ""
            return (
                f"No recorded interaction is left for {asked}: those that match have each answered once"
                f" ({ids}{more}). With --repeat the last of them answers further calls."
            )
        case Reason.NOTHING_RECORDED:
            said = f"No recorded interaction answers {asked}: nothing is recorded for this method and url."
            said += f" The closest is {name}: {_place(interaction.request)}."
            others = _other_places(miss, interaction.request)
            return said + (f" Also recorded: {', '.join(others)}." if others else "")
    noun = "1 interaction is" if count == 1 else f"{count} interactions are"
    said = f"No recorded interaction answers {asked}: {noun} recorded for it, with other bodies."
    said += f" The closest is {name}"
    if closest.places:
        shown = ", ".join(redact_values(place) for place in closest.places[:_SHOWN_PLACES])
        rest = len(closest.places) - _SHOWN_PLACES
        said += f"; it differs at {shown}" + (f" and {rest} more places" if rest > 0 else "")
    said += "."
    if closest.volatile:
        patterns = " and ".join(f"`{name}`" for name in closest.volatile)
        said += f" All that differs looks volatile: with the built-in pattern {patterns} they would match."
    return said


def _place(request: Request) -> str:
    return redact_values(f"{request.method} {_shortened(canonical_url(request.url))}")


def _other_places(miss: Miss, closest: Request) -> list[str]:
    """Return a few other methods and urls that are recorded, the nearest first."""
    recorded = dict.fromkeys(_place(one.interaction.request) for one in miss.candidates[:MAX_URLS])
    recorded.pop(_place(closest), None)
    return difflib.get_close_matches(_place(miss.request), recorded, n=_SHOWN_URLS - 1, cutoff=0)


def _nearest_by_url(miss: Miss) -> list[Candidate]:
    """Return the candidates of the nearest url: that of the same path with the same method, if there is one."""
    wanted_method, wanted = place_of(miss.request, miss.rules)
    by_place: dict[tuple[str, str], list[Candidate]] = {}
    for candidate in miss.candidates:
        place = place_of(candidate.interaction.request, miss.rules)
        if place in by_place or len(by_place) < MAX_URLS:
            by_place.setdefault(place, []).append(candidate)
    matcher: difflib.SequenceMatcher[str] = difflib.SequenceMatcher(b=wanted[:_LONGEST_URL], autojunk=False)

    def nearness(place: tuple[str, str]) -> tuple[bool, bool, float]:
        method, url = place
        matcher.set_seq1(url[:_LONGEST_URL])
        return url.partition("?")[0] == wanted.partition("?")[0], method == wanted_method, matcher.ratio()

    return by_place[max(by_place, key=nearness)]


def _nearest_by_body(wanted: Request, candidates: tuple[Candidate, ...], rules: MatchRules) -> Candidate:
    """Return the candidate whose body has most in common; of equals one that is unused, then the first."""
    if len(candidates) == 1:
        return candidates[0]
    nearest_first = sorted(
        candidates, key=lambda one: abs(len(one.interaction.request.body) - len(wanted.body))
    )
    if len(wanted.body) > MAX_READ:
        return nearest_first[0]
    to_read: set[int] = set()
    size = 0
    for candidate in nearest_first:
        size += len(candidate.interaction.request.body)
        if to_read and size > MAX_READ:
            break
        to_read.add(id(candidate))
    wanted_words = words(_body(wanted, rules))
    return max(
        (candidate for candidate in candidates if id(candidate) in to_read),
        key=lambda one: (likeness(words(_body(one.interaction.request, rules)), wanted_words), not one.used),
    )


def _helpful_patterns(recorded: Request, wanted: Request, rules: MatchRules) -> tuple[str, ...]:
    """Return the fewest further built-in patterns with which two requests are the same call, if there are any."""
    if place_of(recorded, rules) != place_of(wanted, rules) or len(wanted.body) > MAX_COMPARED:
        return ()
    needed = [name for name in VOLATILE if name not in rules.volatile]
    if not _are_same(recorded, wanted, rules, needed):
        return ()
    for name in tuple(needed):
        fewer = [other for other in needed if other != name]
        if _are_same(recorded, wanted, rules, fewer):
            needed = fewer
    return tuple(needed)


def _are_same(a: Request, b: Request, rules: MatchRules, more: list[str]) -> bool:
    extended = replace(rules, volatile=(*rules.volatile, *more))
    return rules_key(a, body_of(a), extended) == rules_key(b, body_of(b), extended)


def _body(request: Request, rules: MatchRules) -> Body:
    return request_body_under_rules(request, body_of(request), rules)


def _lines(request: Request, rules: MatchRules, drawing: Drawing) -> list[str]:
    method, url = place_of(request, rules)
    head = redact_values(f"{method} {url}")
    if len(request.body) > MAX_COMPARED:
        checksum = hashlib.sha256(request.body).hexdigest()[:16]
        return [head, f"({len(request.body)} bytes, sha256 {checksum}: too long to be shown)"]
    return [head, *drawing.lines(_body(request, rules))]


def _shortened(url: str) -> str:
    return url if len(url) <= _LONGEST_URL else f"{url[:_LONGEST_URL]}…"
