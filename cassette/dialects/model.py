"""What a conversation is made of, whatever the dialect."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool that the model wants run."""

    id: str
    """The dialect's id of the call; empty where it has none."""
    name: str
    arguments: str
    """JSON text: as sent where the dialect sends text, else serialised. It is cut when the stream was."""


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool returned."""

    id: str
    """The id of the call that it answers."""
    name: str
    """The tool's name, where the dialect repeats it."""
    text: str
    is_error: bool = False


@dataclass(frozen=True, slots=True)
class Attachment:
    """A part of a message that is not text: an image, a sound, a file."""

    kind: str
    """A media type (`image/png`) where one is known, else the dialect's word (`image`)."""
    size: int | None
    """Bytes, when the content stands in the message; None when it is only referred to."""
    source: str = ""
    """A file's name, id or URL, where one is given."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message. `role` is the dialect's word, save that Gemini's `model` is `assistant` here, too."""

    role: str
    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_results: tuple[ToolResult, ...] = ()
    attachments: tuple[Attachment, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Say whether nothing but the role is there."""
        return not (self.text or self.reasoning or self.tool_calls or self.tool_results or self.attachments)


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts as the provider sent them; None where it sent none. Nothing is computed."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cached: int | None = None
    """Input tokens read from a cache. Anthropic counts them beside `input_tokens`, the others within it."""
    reasoning: int | None = None
    """Tokens of reasoning. Gemini counts them beside `output_tokens`, the others within it."""
    total: int | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """The request's half of a conversation."""

    model: str = ""
    messages: tuple[Message, ...] = ()
    tools: tuple[str, ...] = ()
    wants_stream: bool = False


@dataclass(frozen=True, slots=True)
class Answered:
    """The response's half of a conversation."""

    model: str = ""
    messages: tuple[Message, ...] = ()
    finish_reason: str = ""
    usage: Usage | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Conversation:
    """An interaction as a person reads it."""

    dialect: str
    """`openai-chat`, `openai-responses`, `anthropic-messages`, `gemini`, `bedrock-converse`, `embeddings`
    or `unknown`."""
    model: str
    """The model that was asked for; the one that answered where the request names none."""
    answering_model: str
    """The model that the response names; empty where it names none."""
    streamed: bool
    request: tuple[Message, ...] = ()
    tools: tuple[str, ...] = ()
    """The names of the tools that the request offers."""
    answer: tuple[Message, ...] = ()
    """One message per choice or candidate."""
    finish_reason: str = ""
    usage: Usage | None = None
    error: str = ""
    """The error that the provider reported."""
    problems: tuple[str, ...] = ()
    """What could not be read: a body that is not JSON, a stream that is cut."""
