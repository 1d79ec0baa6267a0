"""The forms in which two requests are compared: how strict is a matter of the level.

    EXACT   method, url, and the body's bytes
    JSON    method, url, and the body's value (`cassette.bodies`): order of names, line ends, boundaries aside
    RULES   what `MatchRules` leave of both, the order of the query's parameters aside, too

All of it looks at the request as a recorder keeps it: `redacted_request` takes the credentials out of the url
and of a form, so that a request with a real key equals the recording without. At the last level a text in the
shape of a known key equals REDACTED, too. Headers are not compared: a cassette keeps few of them, and what
they say about a body shows in the body.
"""

from __future__ import annotations

import enum
import hashlib
import re
from functools import cache, lru_cache, partial
from typing import Final
from urllib.parse import unquote_plus

from cassette.bodies import Body, Kind, read_body
from cassette.credentials import REDACTED, VALUE_PATTERNS, redact_form_body, redact_url
from cassette.exchange import HeaderPairs
from cassette.forms import is_form
from cassette.gohttp import authority
from cassette.jsonpaths import PathNode
from cassette.matchrules import Ignored, Issued, Mark, MatchRules, Plan, Varying, plan
from cassette.model import Request
from cassette.profiles import chosen_profiles


class Level(enum.Enum):
    """How two requests are equal, the strictest first."""

    EXACT = "exact"
    JSON = "json"
    RULES = "rules"


def redacted_request(method: str, url: str, headers: HeaderPairs, body: bytes) -> Request:
    """Return a request as a recorder would keep it, of the headers the Content-Type only."""
    content_type = next((value for name, value in headers if name.lower() == "content-type"), "")
    return Request(
        method,
        redact_url(url),
        redact_form_body(body) if is_form(content_type) else body,
        {"Content-Type": (content_type,)} if content_type else {},
    )


def content_type_of(request: Request) -> str:
    """Return the value of a request's Content-Type header; empty when it is not known."""
    values = next((v for name, v in request.headers.items() if name.lower() == "content-type"), ())
    return values[0] if values else ""


def place_of(request: Request, rules: MatchRules) -> tuple[str, str]:
    """Return what the rules leave of method and url; requests of different places are never the same call."""
    return request.method or "GET", url_under_rules(canonical_url(request.url), rules)


def exact_key(request: Request) -> tuple[str, str, bytes]:
    """Return what is equal for requests that are equal at the level EXACT. The body is not copied."""
    return request.method or "GET", canonical_url(request.url), request.body


def body_of(request: Request) -> Body:
    """Return a request's body, read."""
    return read_body(request.body, content_type_of(request))


def json_key(request: Request, body: Body) -> tuple[str, bytes]:
    """Return what is equal at the level JSON for requests of one place; `body` is `body_of` the request."""
    return canonical_url(request.url), _digest(body.kind, body.text)


def rules_key(request: Request, body: Body, rules: MatchRules) -> bytes:
    """Return what is equal at the level RULES for requests of one place; `body` is `body_of` the request."""
    left = request_body_under_rules(request, body, rules)
    return _digest(left.kind, redact_values(left.text))


def request_body_under_rules(request: Request, body: Body, rules: MatchRules) -> Body:
    """Return what the rules leave of a request's body, with the profiles that they choose for it."""
    profiles = chosen_profiles(rules.profiles, request.url, request.body)
    return body_under_rules(body, plan(rules, profiles))


_DEFAULT_PORTS = {"http": ":80", "https": ":443", "ws": ":80", "wss": ":443"}
_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")
_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]")
_LONGEST_REMEMBERED = 2048
"""Characters of a URL whose form is remembered: they come from clients. Chosen, not measured."""


def canonical_url(url: str) -> str:
    """Return the one spelling of a URL, without credentials: RFC 3986, section 6.2, as far as it is certain.

    Scheme and host in lower case, no default port, `/` for an empty path, escapes only where needed and in
    upper case, no fragment, no user information: neither is sent in a request line.
    """
    return _canonical_url(url) if len(url) <= _LONGEST_REMEMBERED else _spell(url)


def _spell(url: str) -> str:
    url = redact_url(url).partition("#")[0]
    scheme, separator, rest = url.partition("://")
    if not separator:
        return url
    scheme = scheme.lower()
    host = authority(url).lower().removesuffix(_DEFAULT_PORTS.get(scheme, ":"))
    start = min((at for at in map(rest.find, "/?") if at >= 0), default=len(rest))
    path, question, query = _ESCAPE.sub(_needed_escape, rest[start:]).partition("?")
    return f"{scheme}://{host}{path or '/'}{question if query else ''}{query}"


_canonical_url = lru_cache(maxsize=1024)(_spell)


def _needed_escape(match: re.Match[str]) -> str:
    character = chr(int(match[0][1:], 16))
    return character if _UNRESERVED.match(character) else match[0].upper()


def url_under_rules(url: str, rules: MatchRules) -> str:
    """Return a canonical URL without the parameters that the rules ignore, the others sorted by name."""
    path, question, query = url.partition("?")
    if not question:
        return url
    ignored = {name.lower() for name in rules.ignore_query}
    pairs = [pair.partition("=") for pair in query.split("&") if pair]
    kept = [pair for pair in pairs if unquote_plus(pair[0]).lower() not in ignored]
    kept.sort(key=lambda pair: pair[0])
    return f"{path}?{'&'.join(map(''.join, kept))}" if kept else path


def _digest(kind: Kind, text: str) -> bytes:
    """Return 16 bytes that are equal for equal bodies, and for them only."""
    return hashlib.blake2b(text.encode("ascii"), digest_size=16, person=kind.value.encode()).digest()


def redact_values(text: str) -> str:
    """Replace what has the shape of a known key by REDACTED, wherever in a text it stands."""
    data = text.encode("utf-8", "surrogatepass")
    found = [pattern for pattern in _value_patterns() if pattern.search(data) is not None]
    if not found:
        return text
    for pattern in found:
        data = pattern.sub(REDACTED.encode(), data)
    return data.decode("utf-8", "surrogatepass")


@cache
def _value_patterns() -> tuple[re.Pattern[bytes], ...]:
    return tuple(VALUE_PATTERNS.values())


def body_under_rules(body: Body, plan: Plan) -> Body:
    """Return what the rules leave of a body.

    Ignored places are gone, and so is an object or an array of which they leave nothing. Volatile texts and
    issued ones are replaced by `<name>`; those with an identity by `<name-1>`, `<name-2>`, in the order in
    which they appear, names sorted.
    """
    left = _Walk(plan).value(body.value, plan.places)
    return Body(body.kind, {} if left is _GONE else left)


_Node = PathNode[Mark] | None
_GONE: Final = object()


class _Walk:
    """One pass over a body, which it does not change; it remembers which identities it met."""

    def __init__(self, plan: Plan) -> None:
        self._texts = plan.texts
        self._seen: dict[str, dict[str, str]] = {}

    def value(self, value: object, node: _Node) -> object:
        if node is None and not self._texts:
            return value
        if isinstance(value, str):
            return self._text(value) if self._texts else value
        if isinstance(value, dict):
            return self._object(value, node)
        return self._array(value, node) if isinstance(value, list) else value

    def _object(self, members: dict[str, object], node: _Node) -> object:
        # What is all that its object says is content: a reference to an item, a blob of reasoning.
        has_company = len(members) > 2 or (len(members) == 2 and "type" not in members)
        kept = members
        for name in self._names_to_visit(members, node):
            member = members[name]
            left = self._child(member, node and node.at_name(name), may_be_issued=has_company)
            if left is member:
                continue
            if kept is members:
                kept = dict(members)
            if left is _GONE:
                del kept[name]
            else:
                kept[name] = left
        return kept if kept or not members else _GONE

    def _names_to_visit(self, members: dict[str, object], node: _Node) -> list[str]:
        """Return the names below which something may be found, in the order that numbers identities."""
        if self._texts or node is None or node.other_names is not None:
            return sorted(members)
        return sorted(members.keys() & node.names.keys())

    def _array(self, items: list[object], node: _Node) -> object:
        kept = [
            left
            for index, item in enumerate(items)
            if (left := self._child(item, node and node.at_item(index), may_be_issued=True)) is not _GONE
        ]
        return kept if kept or not items else _GONE

    def _child(self, value: object, node: _Node, *, may_be_issued: bool) -> object:
        for mark in node.marks if node is not None else ():
            match mark:
                case Ignored():
                    return _GONE
                case Issued() if may_be_issued and isinstance(value, str):
                    return self._identity("id", value)
                case Varying(expression) if isinstance(value, str):
                    value = expression.sub("<volatile>", value)
        return self.value(value, node)

    def _text(self, text: str) -> str:
        for rule in self._texts:
            if rule.hint is None or rule.hint.search(text) is not None:
                replacement = partial(self._numbered, rule.name) if rule.is_identity else f"<{rule.name}>"
                text = rule.expression.sub(replacement, text)
        return text

    def _numbered(self, name: str, match: re.Match[str]) -> str:
        return self._identity(name, match[0])

    def _identity(self, name: str, value: str) -> str:
        seen = self._seen.setdefault(name, {})
        return seen.setdefault(value, f"<{name}-{len(seen) + 1}>")
