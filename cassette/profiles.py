"""How the requests of each dialect vary without asking for anything else: data, and how it is chosen.

Two kinds of places. *Ignored* ones say something to the provider's bookkeeping or cache and nothing to the
model: an end user's id, tags, cache breakpoints. *Issued* ones hold what the provider made up in an answer
before, ids of tool calls and signed or encrypted blobs; they are compared by where they appear first, so that
a result still belongs to the call that it belonged to.

What changes the answer is in no profile, however often it varies: the model, `stream`, `service_tier`,
`stream_options.include_usage`, `previous_response_id`, `cachedContent`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from cassette.conversation import UNKNOWN, read_headline
from cassette.model import Interaction, Request, Response

AUTO = "auto"
"""The name that stands for the profile of the request's own dialect."""

_LONGEST_REMEMBERED = 2048
"""Characters of a URL whose dialect is remembered: they come from clients. Chosen, not measured."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What varies harmlessly in the requests of some dialects. Places are `cassette.jsonpaths`."""

    dialects: tuple[str, ...]
    """As `cassette.conversation` names them: those that `auto` chooses this profile for."""
    ignored: tuple[str, ...]
    issued: tuple[str, ...]
    volatile: tuple[tuple[str, str], ...] = ()
    """Places of texts, each with the expression for what varies in them."""


_CACHE_CONTROL = (
    "cache_control",
    "system[*].cache_control",
    "messages[*].cache_control",
    "messages[*].content[*].cache_control",
    "messages[*].content[*].content[*].cache_control",
    "messages[*].tool_calls[*].cache_control",
    "tools[*].cache_control",
    "tools[*].function.cache_control",
)
_OPENAI = (
    "user",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "metadata",
    "store",
    "stream_options.include_obfuscation",  # padding against eavesdroppers; `include_usage` is content
)
_ANTHROPIC = Profile(
    dialects=("anthropic-messages",),
    ignored=("metadata", *_CACHE_CONTROL),
    issued=(
        "messages[*].content[*].id",
        "messages[*].content[*].tool_use_id",
        "messages[*].content[*].signature",
        "messages[*].content[*].content[*].encrypted_content",
        "messages[*].content[*].citations[*].encrypted_index",
    ),
    # Claude Code's first block: its version, and a hash of the prompt and of itself.
    volatile=tuple((path, r"^x-anthropic-billing-header: [^\n]*") for path in ("system", "system[*].text")),
)

PROFILES: Mapping[str, Profile] = {
    "openai-chat": Profile(
        dialects=("openai-chat", "embeddings"),
        # Routers take Anthropic's cache breakpoints in this dialect.
        ignored=(*_OPENAI, *_CACHE_CONTROL),
        issued=(
            "messages[*].tool_calls[*].id",
            "messages[*].tool_call_id",
            "messages[*].reasoning_details[*].id",
            "messages[*].reasoning_details[*].signature",
            "messages[*].reasoning_details[*].data",
        ),
    ),
    "openai-responses": Profile(
        dialects=("openai-responses",),
        ignored=(*_OPENAI, "client_metadata"),  # the latter is Codex's: its installation and session
        issued=("input[*].id", "input[*].call_id", "input[*].encrypted_content"),
    ),
    "anthropic": _ANTHROPIC,
    "gemini": Profile(
        dialects=("gemini",),
        ignored=("labels",),  # Vertex: for the bill
        issued=(
            # Protocol buffers' JSON takes names in either spelling. Gemini issues no ids before version 3;
            # some SDKs make them up.
            "contents[*].parts[*].functionCall.id",
            "contents[*].parts[*].functionResponse.id",
            "contents[*].parts[*].thoughtSignature",
            "contents[*].parts[*].function_call.id",
            "contents[*].parts[*].function_response.id",
            "contents[*].parts[*].thought_signature",
        ),
    ),
    "bedrock": Profile(
        dialects=("bedrock-converse",),
        ignored=(
            "requestMetadata",
            "system[*].cachePoint",
            "messages[*].content[*].cachePoint",
            "toolConfig.tools[*].cachePoint",
            *_ANTHROPIC.ignored,
        ),
        # Bedrock hands a body of Anthropic's dialect on as it is (`invoke`), which `auto` sees by itself.
        issued=(
            "messages[*].content[*].toolUse.toolUseId",
            "messages[*].content[*].toolResult.toolUseId",
            "messages[*].content[*].reasoningContent.reasoningText.signature",
            *_ANTHROPIC.issued,
        ),
        volatile=_ANTHROPIC.volatile,
    ),
}
"""By name."""

_OF_DIALECT = {dialect: name for name, profile in PROFILES.items() for dialect in profile.dialects}


def chosen_profiles(names: tuple[str, ...], url: str, body: bytes) -> tuple[str, ...]:
    """Return the names of the profiles that hold for a request: `auto` becomes that of its dialect, or none."""
    if AUTO not in names:
        return names
    own = _OF_DIALECT.get(_dialect(url, body))
    named = [name for name in names if name not in (AUTO, own)]
    return tuple(named if own is None else [*named, own])


def check_profile(name: str) -> str:
    """Return the name of a profile; ValueError, which lists those there are, for anything else."""
    if name not in PROFILES and name != AUTO:
        raise ValueError(f"{name!r} is no profile; there are {', '.join((AUTO, *PROFILES))}")
    return name


def _dialect(url: str, body: bytes) -> str:
    """Return the dialect; the body is read only where the URL does not tell."""
    by_url = _dialect_of_url(url) if len(url) <= _LONGEST_REMEMBERED else UNKNOWN
    return by_url if by_url != UNKNOWN else _headline(url, body)


@lru_cache(maxsize=256)
def _dialect_of_url(url: str) -> str:
    return _headline(url, b"")


def _headline(url: str, body: bytes) -> str:
    return read_headline(Interaction(0, Request("POST", url, body), Response("", 0))).dialect
