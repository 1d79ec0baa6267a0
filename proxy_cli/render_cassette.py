"""What people and scripts see of a cassette: objects in, text or plain JSON types out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict

from cassette.conversation import (
    Attachment,
    Conversation,
    Message,
    ToolCall,
    ToolResult,
    Usage,
    read_conversation,
    read_headline,
)
from cassette.durations import format_duration
from cassette.model import Cassette, Interaction
from cassette.verify import Finding
from proxy_cli.paper import Paper, format_size, one_line, printable, shorten_middle

_NARROWEST_URL = 24
_NARROWEST_MODEL = 16
"""Columns that these keep however narrow the terminal; chosen, not measured."""
_LONGEST_RAW = 2000
"""Characters shown of a body that no dialect explains; chosen, not measured."""
_WIDEST_RULE = 72
_LABEL_WIDTH = len("finish")

_HEADINGS = ("ID", "METHOD", "STATUS", "MODEL", "STREAM", "UP", "DOWN", "DURATION", "URL")
_RIGHT_ALIGNED = frozenset({"ID", "UP", "DOWN", "DURATION"})
_STATUS, _MODEL, _URL = map(_HEADINGS.index, ("STATUS", "MODEL", "URL"))
_GAP = "  "
_ROLE_COLOURS = {"assistant": "green", "user": "cyan", "system": "magenta", "developer": "magenta"}


def list_text(cassette: Cassette, paper: Paper) -> str:
    """Return a table, a line per interaction; for a narrow terminal, URLs and then models are shortened."""
    if not cassette.interactions:
        return "no interactions"
    rows = [_HEADINGS, *map(_row, cassette.interactions)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    if paper.width is not None:
        fixed = sum(widths) - widths[_MODEL] - widths[_URL] + len(_GAP) * (len(widths) - 1)
        widths[_MODEL] = min(widths[_MODEL], max(paper.width - fixed - _NARROWEST_URL, _NARROWEST_MODEL))
        widths[_URL] = min(widths[_URL], max(paper.width - fixed - widths[_MODEL], _NARROWEST_URL))
    lines = []
    for number, row in enumerate(rows):
        cells = [shorten_middle(cell, width) for cell, width in zip(row, widths, strict=True)]
        cells = [
            cell.rjust(width) if heading in _RIGHT_ALIGNED else cell.ljust(width)
            for cell, width, heading in zip(cells, widths, _HEADINGS, strict=True)
        ]
        cells[_URL] = cells[_URL].rstrip()
        if number == 0:
            cells = [paper.style(cell, bold=True) for cell in cells]
        else:
            colour = _status_colour(cassette.interactions[number - 1])
            cells[_STATUS] = paper.style(cells[_STATUS], fg=colour)
        lines.append(_GAP.join(cells))
    return "\n".join(lines)


def _row(interaction: Interaction) -> tuple[str, ...]:
    headline = read_headline(interaction)
    request, response = interaction.request, interaction.response
    return (
        str(interaction.id),
        one_line(request.method) or "-",
        f"{response.code} cut" if interaction.interrupted else str(response.code),
        one_line(headline.model) or "-",
        "stream" if headline.streamed else "-",
        format_size(len(request.body)),
        format_size(len(response.body)),
        format_duration(response.duration_ns),
        one_line(request.url),
    )


def _status_colour(interaction: Interaction) -> str:
    code = interaction.response.code
    if interaction.interrupted or not 100 <= code < 400:
        return "red"
    return "green" if code < 300 else "yellow"


def interaction_json(interaction: Interaction) -> dict[str, object]:
    """Return what the table says of an interaction; sizes in bytes, the duration also in nanoseconds."""
    headline = read_headline(interaction)
    request, response = interaction.request, interaction.response
    return {
        "id": interaction.id,
        "method": request.method,
        "url": request.url,
        "status": response.status,
        "code": response.code,
        "dialect": headline.dialect,
        "model": headline.model,
        "streamed": headline.streamed,
        "request_size": len(request.body),
        "response_size": len(response.body),
        "duration": format_duration(response.duration_ns),
        "duration_ns": response.duration_ns,
        "interrupted": interaction.interrupted,
    }


def conversation_json(interaction: Interaction) -> dict[str, object]:
    """Return what the table says of an interaction, and its conversation."""
    return {**interaction_json(interaction), "conversation": asdict(read_conversation(interaction))}


def conversation_text(interaction: Interaction, paper: Paper) -> str:
    """Return an interaction for a person: what was asked, what was answered, what it cost."""
    conversation = read_conversation(interaction)
    names = {
        call.id: call.name
        for message in (*conversation.request, *conversation.answer)
        for call in message.tool_calls
        if call.id
    }
    blocks = ["\n".join(_head(interaction, conversation, paper))]
    blocks += [_message_text(message, names, paper) for message in conversation.request]
    if not conversation.request:
        blocks.append(_body_text(interaction.request.body, paper))
    blocks.append(paper.style("─" * min(paper.width or _WIDEST_RULE, _WIDEST_RULE), dim=True))
    blocks += [_message_text(message, names, paper) for message in conversation.answer]
    if not conversation.answer and not conversation.error:
        blocks.append(_body_text(interaction.response.body, paper))
    blocks.append("\n".join(_tail(interaction, conversation, paper)))
    return "\n\n".join(filter(None, blocks))


def _head(interaction: Interaction, conversation: Conversation, paper: Paper) -> Iterator[str]:
    request, response = interaction.request, interaction.response
    yield paper.style(one_line(f"{request.method} {request.url}"), bold=True)
    yield "  ".join(
        (
            paper.style(one_line(response.status), fg=_status_colour(interaction)),
            conversation.dialect,
            "stream" if conversation.streamed else "no stream",
            f"{format_size(len(request.body))} up",
            f"{format_size(len(response.body))} down",
            format_duration(response.duration_ns),
        )
    )
    if conversation.model:
        model = conversation.model
        if conversation.answering_model not in ("", model):
            model += f" (answered by {conversation.answering_model})"
        yield _label("model", one_line(model), paper)
    if conversation.tools:
        yield _label("tools", one_line(", ".join(conversation.tools)), paper)


def _tail(interaction: Interaction, conversation: Conversation, paper: Paper) -> Iterator[str]:
    if conversation.error:
        yield _label("error", one_line(conversation.error), paper, "red")
    if interaction.interrupted:
        yield _label("interrupted", one_line(interaction.interrupted), paper, "red")
    for problem in conversation.problems:
        yield _label("unreadable", one_line(problem), paper, "red")
    if conversation.finish_reason:
        yield _label("finish", one_line(conversation.finish_reason), paper)
    if conversation.usage:
        yield _label("usage", _usage_text(conversation.usage), paper)


def _label(name: str, text: str, paper: Paper, colour: str | None = None) -> str:
    return f"{paper.style(name.ljust(_LABEL_WIDTH), dim=not colour, fg=colour)}  {text}"


def _usage_text(usage: Usage) -> str:
    """Return the counts side by side: whether one is part of another depends on the provider."""
    counts = (
        (usage.input_tokens, "in"),
        (usage.output_tokens, "out"),
        (usage.total, "in all"),
        (usage.reasoning, "reasoning"),
        (usage.cached, "cached"),
    )
    return ", ".join(f"{count} {what}" for count, what in counts if count is not None)


def _message_text(message: Message, names: Mapping[str, str], paper: Paper) -> str:
    """Return a message under its role; `names` gives the tool of a call's id, for the results."""
    colour = _ROLE_COLOURS.get(message.role, "yellow")
    lines = [paper.style(one_line(message.role) or "(no role)", fg=colour, bold=True)]
    if message.reasoning:
        lines.append(paper.style(paper.indented("reasoning: " + printable(message.reasoning)), dim=True))
    said = [paper.indented(printable(message.text))] if message.text else []
    tools = [paper.indented(_call_text(call)) for call in message.tool_calls]
    tools += [_result_text(result, names, paper) for result in message.tool_results]
    # A call ends a message, unless the provider ran it itself: then the text is what came of it.
    lines += tools + said if message.tool_calls and message.tool_results else said + tools
    lines += [paper.indented(_attachment_text(attachment)) for attachment in message.attachments]
    return "\n".join(lines)


def _call_text(call: ToolCall) -> str:
    return f"{one_line(call.name) or '(no name)'}({printable(call.arguments)})"


def _result_text(result: ToolResult, names: Mapping[str, str], paper: Paper) -> str:
    name = one_line(result.name or names.get(result.id, "") or result.id)
    head = " ".join(filter(None, (name, "failed" if result.is_error else "", "→")))
    text = printable(result.text)
    if "\n" in text:
        return f"{paper.indented(head)}\n{paper.indented(text, 2)}"
    return paper.indented(f"{head} {text}".rstrip())


def _attachment_text(attachment: Attachment) -> str:
    size = "" if attachment.size is None else format_size(attachment.size)
    parts = (one_line(attachment.kind), size, one_line(shorten_middle(attachment.source, 80)))
    return f"[{', '.join(filter(None, parts))}]"


def _body_text(body: bytes, paper: Paper) -> str:
    """Return the beginning of a body that is text; the size of one that is not."""
    if not body:
        return paper.indented("(no body)")
    try:
        text = body[: 4 * _LONGEST_RAW].decode(
            "utf-8", errors="strict" if len(body) <= 4 * _LONGEST_RAW else "ignore"
        )
    except UnicodeDecodeError:
        text = ""
    if not text or "\0" in text:
        return paper.indented(f"({format_size(len(body))} that are no text; --raw writes them)")
    more = f"\n… ({format_size(len(body))} in all; --raw writes them)" if len(text) > _LONGEST_RAW else ""
    return paper.indented(printable(text[:_LONGEST_RAW].rstrip()) + more)


def finding_text(path: str, finding: Finding, paper: Paper) -> str:
    """Return a finding in one line, as compilers write them: `file:line: where: message`."""
    place = f"{path}:{finding.line}:" if finding.line is not None else f"{path}:"
    where = "" if finding.interaction is None else f"interaction {finding.interaction}: "
    field = f"{one_line(finding.field)}: " if finding.field else ""
    return f"{paper.style(one_line(place), bold=True)} {where}{field}{one_line(finding.message)}"


def finding_json(finding: Finding) -> dict[str, object]:
    """Return a finding as plain JSON types."""
    return {**asdict(finding), "kind": finding.kind.value}
