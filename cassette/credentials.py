"""Which header, query key or text is a credential, and how its value is taken out.

Everything here is pure and decides by *name* (headers, query and form keys); `VALUE_PATTERNS` alone looks at
values, for checking a finished cassette. When in doubt a name counts as a credential: a wrong guess costs a
value that nobody can read any more, the other mistake costs a key. A user who wants the value of such a
header says so by name (`unsafe_keep` in `cassette.headerfilter`).

What is not done here: bodies other than forms are left alone, since a body that was changed is no recording.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from fnmatch import translate
from functools import cache, lru_cache
from itertools import pairwise
from urllib.parse import unquote_plus

REDACTED = "REDACTED"
"""What stands where a credential stood."""

SECRET_REQUEST_HEADERS: tuple[str, ...] = (
    "api-key",  # Azure OpenAI
    "api-subscription-key",  # Sarvam
    "authorization",
    "cf-access-client-id",
    "cf-access-client-secret",
    "cf-aig-authorization",  # Cloudflare's AI gateway
    "cookie",
    "helicone-auth",
    "helicone-openai-api-base",
    "mcp-session-id",
    "modal-key",
    "modal-secret",
    "ocp-apim-subscription-key",  # Azure AI services
    "proxy-authorization",
    "salad-api-key",
    "sec-websocket-protocol",  # browsers' place for a key: `openai-insecure-api-key.KEY`
    "x-amz-access-token",
    "x-amz-security-token",  # AWS session
    "x-api-key",  # Anthropic
    "x-auth-token",
    "x-csrf-token",
    "x-functions-key",  # Azure functions
    "x-goog-api-key",  # Gemini
    "x-goog-iam-authorization-token",
    "x-goog-user-project",
    "x-groq-api-key",
    "x-litellm-api-key",
    "x-ms-client-principal",
    "x-portkey-api-key",
    "x-portkey-config",  # may embed keys
    "x-portkey-virtual-key",
    "x-stainless-*",  # tells the operating system and the runtime of the person who records
    "x-subscription-token",
    "xi-api-key",  # ElevenLabs
)
"""Names and globs, in lower case."""

SECRET_RESPONSE_HEADERS: tuple[str, ...] = (
    "mcp-session-id",
    "proxy-authenticate",
    "set-cookie",
    "set-cookie2",
    "www-authenticate",
    "x-amzn-remapped-*",
    "x-auth-token",
)
"""Names and globs, in lower case. A response that echoes a request's credential is redacted as well."""

SECRET_QUERY_KEYS: frozenset[str] = frozenset(
    {
        "access_token",
        "api-key",
        "api_key",
        "apikey",
        "client_secret",
        "code",  # OAuth: good for one token
        "key",  # Google
        "refresh_token",
        "sig",
        "signature",
        "state",
        "token",
        "upload_id",  # Google: whoever has it can write the upload
        "x-amz-credential",
        "x-amz-security-token",
        "x-amz-signature",
        "x-goog-credential",
        "x-goog-signature",
    }
)
"""Keys of query strings and forms, in lower case."""

# Words that give a name away wherever they stand, then those that do as its last word.
_TELLING_WORDS = frozenset(
    {
        "accesskey",
        "accesstoken",
        "apikey",
        "apitoken",
        "authkey",
        "authtoken",
        "bearer",
        "clientsecret",
        "idtoken",
        "jwt",
        "passphrase",
        "passwd",
        "password",
        "privatekey",
        "refreshtoken",
        "secret",
        "secretkey",
        "sessiontoken",
        "subscriptionkey",
    }
)
_TELLING_ENDS = frozenset(
    {"auth", "authentication", "cookie", "cookie2", "cookies", "credential", "credentials"}
)
# `Idempotency-Key`, `Sec-WebSocket-Key` and the like are no credentials, nor is a `page_token`; and tokens
# are also what models are paid by: `x-time-per-token` (text-generation-inference), `x-ratelimit-limit-token`.
_HARMLESS_BEFORE_KEY = frozenset(
    {
        "affinity",
        "cache",
        "idempotency",
        "partition",
        "primary",
        "public",
        "routing",
        "sort",
        "surrogate",
        "websocket",
    }
)
_HARMLESS_WITH_TOKEN = frozenset(
    {
        "continuation",
        "count",
        "first",
        "generated",
        "input",
        "latency",
        "limit",
        "max",
        "min",
        "next",
        "output",
        "page",
        "per",
        "prompt",
        "ratelimit",
        "remaining",
        "sync",
        "time",
        "total",
        "usage",
        "used",
    }
)
_WORD_BREAK = re.compile(r"[^a-z0-9]+")

# The names come from clients: what is remembered of them is bounded in number (the caches below) and in size.
_LONGEST_REMEMBERED = 128


def is_secret_request_header(name: str) -> bool:
    """Tell whether the value of this request header must not be stored. Case does not matter."""
    return _is_secret_request(name) if len(name) <= _LONGEST_REMEMBERED else _decide_request(name)


def is_secret_response_header(name: str) -> bool:
    """Tell whether the value of this response header must not be stored. Case does not matter."""
    return _is_secret_response(name) if len(name) <= _LONGEST_REMEMBERED else _decide_response(name)


def is_secret_query_key(key: str) -> bool:
    """Tell whether this key of a query or a form, as it stands there (`api%5Fkey`), holds a credential."""
    return _is_secret_key(key) if len(key) <= _LONGEST_REMEMBERED else _decide_key(key)


def redact_url(url: str) -> str:
    """Replace the values of secret query keys and the user information; leave every other character as it is.

    Pairs are separated by `&` alone (WHATWG URL, section 5.1); empty values stay empty. A fragment is read as
    a query, since OAuth hands out tokens in it, and so is the query of a URL that stands unescaped in a
    value. The text may hold lone surrogates and be of any length: the time is linear.
    """
    if "@" in url:
        url = _USERINFO.sub(rf"\g<1>{REDACTED}@", url, count=1)
    begin = _QUERY_BEGIN.search(url)
    if begin is None:
        return url
    pieces: list[str] = []
    copied = 0
    for pair in _URL_KEY.finditer(url, begin.start()):
        value = pair.end()
        if value < copied or not is_secret_query_key(pair[1]):
            continue
        end_match = _URL_VALUE_END.search(url, value)
        end = end_match.start() if end_match else len(url)
        if end > value:
            pieces += (url[copied:value], REDACTED)
            copied = end
    if not pieces:
        return url
    pieces.append(url[copied:])
    return "".join(pieces)


def redact_link(value: str) -> str:
    """Redact the URLs between `<` and `>` of a `Link` header (RFC 8288, section 3)."""
    return _LINK_TARGET.sub(lambda target: f"<{redact_url(target[1])}>", value)


def redact_form_body(body: bytes) -> bytes:
    """Replace the values of secret keys in an `application/x-www-form-urlencoded` body, and nothing else."""
    pieces: list[bytes] = []
    copied = 0
    for pair in _FORM_PAIR.finditer(body):
        if pair.end(1) < pair.end() - 1 and is_secret_query_key(pair[1].decode("latin-1")):
            pieces += (body[copied : pair.end(1) + 1], REDACTED.encode())
            copied = pair.end()
    if not pieces:
        return body
    pieces.append(body[copied:])
    return b"".join(pieces)


_USERINFO = re.compile(r"^((?:[A-Za-z][A-Za-z0-9+.-]*:)?//)[^/?#]*@")
_QUERY_BEGIN = re.compile(r"[?#]")
_URL_KEY = re.compile(r"(?<=[?&#])([^?&#=]*)=")
_URL_VALUE_END = re.compile(r"[&#]")
_LINK_TARGET = re.compile(r"<([^<>]*)>")
_FORM_PAIR = re.compile(rb"(?:(?<=&)|\A)([^&=]*)=[^&]*")


def _is_one_of(patterns: tuple[str, ...]) -> Callable[[str], bool]:
    names = frozenset(patterns)
    globs = re.compile("|".join(translate(pattern) for pattern in patterns if "*" in pattern))
    return lambda name: name in names or globs.match(name) is not None


_in_request_list = _is_one_of(SECRET_REQUEST_HEADERS)
_in_response_list = _is_one_of(SECRET_RESPONSE_HEADERS + SECRET_REQUEST_HEADERS)


def _decide_request(name: str) -> bool:
    lowered = name.strip().lower()
    return _in_request_list(lowered) or _looks_like_credential(lowered)


def _decide_response(name: str) -> bool:
    lowered = name.strip().lower()
    return _in_response_list(lowered) or _looks_like_credential(lowered)


def _decide_key(key: str) -> bool:
    lowered = unquote_plus(key).strip().lower()
    return lowered in SECRET_QUERY_KEYS or _looks_like_credential(lowered)


_is_secret_request = lru_cache(maxsize=1024)(_decide_request)
_is_secret_response = lru_cache(maxsize=1024)(_decide_response)
_is_secret_key = lru_cache(maxsize=1024)(_decide_key)


def _looks_like_credential(lowered: str) -> bool:
    """Judge a name that no list knows by its words: `x-acme-api-key`, `subscription_key`, `x-our-token`."""
    if "authorization" in lowered:
        return True
    if lowered.startswith("access-control-"):  # CORS: `Access-Control-Allow-Credentials: true`
        return False
    words = [word for word in _WORD_BREAK.split(lowered) if word]
    if not words:
        return False
    if not _TELLING_WORDS.isdisjoint(words) or words[-1] in _TELLING_ENDS:
        return True
    if words[-1] == "key":
        return len(words) == 1 or words[-2] not in _HARMLESS_BEFORE_KEY
    if words[-1] == "token":
        return _HARMLESS_WITH_TOKEN.isdisjoint(words)
    return any(pair == ("api", "key") for pair in pairwise(words))


# A key stands on its own: behind a quote, a space, `=`, or an escape that ends in a letter or a digit. In the
# middle of a longer run it is a blob that happens to read like one. Those that consist of the base64 alphabet
# must not follow or precede its `+` and `/` either.
_BLOB = rb"[A-Za-z0-9_-]"
_BASE64_BLOB = rb"[A-Za-z0-9_+/-]"
_ESCAPES = (rb"\\[nrt]", rb"\\u[0-9A-Fa-f]{4}", rb"%[0-9A-Fa-f]{2}")


def _key_shape(prefix: bytes, rest: bytes, blob: bytes = _BLOB) -> bytes:
    """Write the expression for a literal prefix, then `rest`, with no more of the blob on either side.

    The look behind stands after the prefix, so that `re` can search for the literal: 70 times as fast on
    recorded conversations.
    """
    alone = b"|".join((rb"(?<!%s%s)" % (blob, prefix), *(rb"(?<=%s%s)" % (e, prefix) for e in _ESCAPES)))
    return rb"%s(?:%s)%s(?!%s)" % (prefix, alone, rest, blob)


class _Patterns(Mapping[str, re.Pattern[bytes]]):
    """Expressions that are compiled when first asked for: most programs that import this never do."""

    def __init__(self, expressions: Mapping[str, bytes]) -> None:
        self._expressions = expressions
        self._compile = cache(re.compile)

    def __getitem__(self, name: str) -> re.Pattern[bytes]:
        return self._compile(self._expressions[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._expressions)

    def __len__(self) -> int:
        return len(self._expressions)


VALUE_PATTERNS: Mapping[str, re.Pattern[bytes]] = _Patterns(
    {
        "anthropic": _key_shape(rb"sk-ant-", rb"[a-z0-9]+-[A-Za-z0-9_-]{20,}"),
        "aws-id": _key_shape(rb"A", rb"(?:KIA|SIA)[0-9A-Z]{16}", _BASE64_BLOB),
        "bedrock-key": _key_shape(rb"ABSK", rb"[A-Za-z0-9+/]{40,}={0,2}", _BASE64_BLOB),
        "cerebras": _key_shape(rb"csk-", rb"[a-z0-9]{30,}"),
        "fireworks": _key_shape(rb"fw_", rb"[A-Za-z0-9]{20,}"),
        "github": _key_shape(rb"gh[pousr]_", rb"[A-Za-z0-9]{30,}"),
        "github-fine-grained": _key_shape(rb"github_pat_", rb"[A-Za-z0-9_]{40,}"),
        "google": _key_shape(rb"AIza", rb"[0-9A-Za-z_-]{35}", _BASE64_BLOB),
        "google-oauth": _key_shape(rb"ya29\.", rb"[0-9A-Za-z_.-]{10,}"),
        "groq": _key_shape(rb"gsk_", rb"[A-Za-z0-9]{40,}"),
        "hf": _key_shape(rb"hf_", rb"[A-Za-z0-9]{30,}"),
        "jwt": _key_shape(rb"eyJ", rb"[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{5,}"),
        "nvidia": _key_shape(rb"nvapi-", rb"[A-Za-z0-9_-]{40,}"),
        "openai": _key_shape(rb"sk-", rb"(?:proj-|svcacct-|admin-)?[A-Za-z0-9_-]{20,}"),
        "openrouter": _key_shape(rb"sk-or-v1-", rb"[0-9a-f]{32,}"),
        "pem": rb"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----",
        "perplexity": _key_shape(rb"pplx-", rb"[A-Za-z0-9]{32,}"),
        "replicate": _key_shape(rb"r8_", rb"[A-Za-z0-9]{30,}"),
        "slack": _key_shape(rb"xox", rb"[abprs]-[A-Za-z0-9-]{10,}"),
        "xai": _key_shape(rb"xai-", rb"[A-Za-z0-9]{40,}"),
    }
)
"""Known shapes of credentials by provider: what must not be found in a cassette. A key may fit two."""
