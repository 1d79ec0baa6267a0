"""No bytes, and no JSON of whatever shape, make reading a conversation raise."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from cassette.conversation import read_conversation, read_headline
from cassette.eventstream import decode_event_stream
from cassette.model import Interaction, Request, Response
from cassette.sse import parse_events
from tests.support.aws_frames import chunk, event
from tests.support.talk import named_sse, sse

URLS = st.sampled_from(
    [
        "https://h/v1/chat/completions",
        "https://h/v1/responses",
        "https://h/v1/messages",
        "https://h/v1beta/models/m:generateContent",
        "https://h/v1beta/models/m:streamGenerateContent",
        "https://h/model/anthropic.m/invoke-with-response-stream",
        "https://h/model/m/converse",
        "https://h/model/m/converse-stream",
        "https://h/v1/embeddings",
        "https://h/v1beta/models/m:batchEmbedContents",
        "https://h/else",
    ]
)
TYPES = st.sampled_from(
    ["", "application/json", "text/event-stream", "application/vnd.amazon.eventstream", "text/html"]
)
# The members that the dialects look at, so that random JSON gets deep into them.
NAMES = st.sampled_from(
    """model messages message role content text type tools function name arguments tool_calls id index delta choices
    usage finish_reason reasoning reasoning_details images image_url url input output instructions item item_id
    response output_index summary status error incomplete_details system content_block partial_json thinking source
    data media_type contents parts candidates functionCall functionResponse args inlineData usageMetadata
    promptFeedback systemInstruction toolUse toolResult toolConfig contentBlockIndex start reasoningContent metadata
    stopReason embedding embeddings values requests bytes x_groq prompt custom""".split()  # noqa: SIM905 - 80 lines otherwise
)
KINDS = st.sampled_from(
    """message reasoning function_call function_call_output web_search_call error ping text tool_use tool_result
    image document thinking input_text output_text message_start message_delta content_block_start
    content_block_delta response.completed response.output_item.added response.output_item.done
    response.output_text.delta response.function_call_arguments.delta contentBlockStart contentBlockDelta metadata
    image_url input_audio file assistant user tool system""".split()  # noqa: SIM905
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | KINDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=25,
)
OBJECTS = st.dictionaries(NAMES, VALUES, max_size=6)
EVENTS = st.lists(OBJECTS | st.builds(lambda kind, rest: {**rest, "type": kind}, KINDS, OBJECTS), max_size=6)


def wrap(events: list[dict[str, object]], how: str) -> bytes:
    if how == "sse":
        return sse(*events, done=True)
    if how == "named":
        return named_sse(*({"type": "message", **value} for value in events))
    if how == "chunks":
        return b"".join(map(chunk, events))
    if how == "frames":
        return b"".join(event(str(value.get("type", "")), value) for value in events)
    return json.dumps(events).encode()


BODIES = (
    st.binary(max_size=200)
    | VALUES.map(lambda value: json.dumps(value).encode())
    | st.builds(wrap, EVENTS, st.sampled_from(["sse", "named", "chunks", "frames", "array"]))
)


@given(url=URLS, request=BODIES, response=BODIES, content_type=TYPES, code=st.sampled_from([0, 200, 404]))
def test_reading_never_raises(
    url: str, request: bytes, response: bytes, content_type: str, code: int
) -> None:
    headers = {"Content-Type": (content_type,)} if content_type else {}
    interaction = Interaction(0, Request("POST", url, request), Response("", code, response, headers))
    conversation, headline = read_conversation(interaction), read_headline(interaction)
    assert (conversation.dialect, conversation.streamed) == (headline.dialect, headline.streamed)


@given(url=st.text(), body=OBJECTS)
def test_no_url_makes_reading_raise(url: str, body: dict[str, object]) -> None:
    request = Request("POST", url, json.dumps(body).encode())
    read_conversation(Interaction(0, request, Response("200 OK", 200)))


@given(st.binary())
def test_events_and_frames_are_read_from_any_bytes(data: bytes) -> None:
    parse_events(data, keep_unfinished=True)
    decode_event_stream(data)


TEXTS = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]))


@given(st.lists(st.lists(TEXTS, min_size=1), max_size=5), st.sampled_from(["\n", "\r\n", "\r"]))
def test_events_come_back_as_they_were_written(events: list[list[str]], end: str) -> None:
    body = "".join("".join(f"data: {line}{end}" for line in lines) + end for lines in events)
    assert [event.data for event in parse_events(body.encode())] == ["\n".join(lines) for lines in events]


@given(EVENTS, st.integers(min_value=0))
def test_cut_frames_are_a_prefix(events: list[dict[str, object]], kept: int) -> None:
    data = b"".join(map(chunk, events))
    cut = data[: kept % (len(data) + 1)]
    whole, part = decode_event_stream(data), decode_event_stream(cut)
    assert part.messages == whole.messages[: len(part.messages)]
    assert bool(part.problem) == (cut != b"".join(map(chunk, events[: len(part.messages)])))
