"""A message while its parts are being gathered."""

from __future__ import annotations

from dataclasses import dataclass, field

from cassette.dialects.fields import Object, as_json_text, as_text, pick
from cassette.dialects.model import Attachment, Message, ToolCall, ToolResult


@dataclass(slots=True)
class Draft:
    """The parts of one message, in the order in which they came."""

    role: str
    texts: list[str] = field(default_factory=list)
    reasonings: list[str] = field(default_factory=list)
    tool_calls: list[ToolCall] = field(default_factory=list)
    tool_results: list[ToolResult] = field(default_factory=list)
    attachments: list[Attachment] = field(default_factory=list)

    def message(self) -> Message:
        """Return the finished message.

        A model's text is one text however many parts it came in (a citation splits a sentence in three);
        parts that a person or a program wrote are paragraphs.
        """
        between = "" if self.role == "assistant" else "\n\n"
        return Message(
            role=self.role,
            text=between.join(filter(None, self.texts)),
            reasoning="\n\n".join(filter(None, self.reasonings)),
            tool_calls=tuple(self.tool_calls),
            tool_results=tuple(self.tool_results),
            attachments=tuple(self.attachments),
        )

    def call(self, call_id: object, name: object, arguments: object) -> None:
        """Add a tool call; arguments that are not text are written as JSON."""
        self.tool_calls.append(ToolCall(as_text(call_id), as_text(name), as_json_text(arguments)))

    def result(self, call_id: object, name: object, text: str, *, is_error: bool = False) -> None:
        """Add a tool's result."""
        self.tool_results.append(ToolResult(as_text(call_id), as_text(name), text, is_error))


def tool_names(tools: list[Object]) -> tuple[str, ...]:
    """Return the names of offered tools; a provider's own tool without a name goes by its type."""
    names = (pick(tool, "name", "server_label", "type") for tool in tools)
    return tuple(name for name in names if isinstance(name, str))
