from __future__ import annotations

import json
from dataclasses import replace

import pytest

from cassette.model import Cassette, Interaction
from cassette.verify import Finding, Kind
from proxy_cli.paper import Paper
from proxy_cli.render_cassette import (
    conversation_json,
    conversation_text,
    finding_json,
    finding_text,
    interaction_json,
    list_text,
)
from tests.support.talk import SSE, interaction, sse

URL = "https://api.example.com/v1/chat/completions"
LONG_URL = (
    "https://resource.openai.azure.com/openai/deployments/my-very-own/chat/completions?api-version=2025"
)
PLAIN = Paper()


def timed(item: Interaction, nanoseconds: int) -> Interaction:
    return replace(item, response=replace(item.response, duration_ns=nanoseconds))


def streamed(*deltas: object) -> Interaction:
    events = [{"choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    body = {"model": "gpt", "messages": [{"role": "user", "content": "Hi"}]}
    return interaction(URL, body, sse(*events, done=True), content_type=SSE)


def test_list_has_a_line_per_interaction() -> None:
    first = timed(streamed({"content": "x"}), 324_113_458)
    second = replace(timed(interaction(URL, {}, b"", code=401), 1_200_000_000), id=1)
    assert list_text(Cassette((first, second)), PLAIN).splitlines() == [
        "ID  METHOD  STATUS  MODEL  STREAM    UP  DOWN      DURATION  URL",
        " 0  POST    200     gpt    stream  65 B  76 B  324.113458ms  " + URL,
        " 1  POST    401     -      -        2 B   0 B          1.2s  " + URL,
    ]


def test_list_of_an_empty_cassette_says_so() -> None:
    assert list_text(Cassette(), PLAIN) == "no interactions"


def test_url_is_shortened_in_the_middle_on_a_narrow_terminal_only() -> None:
    cassette = Cassette((interaction(LONG_URL, {"model": "gpt-4o"}),))
    assert LONG_URL in list_text(cassette, PLAIN)
    assert LONG_URL in list_text(cassette, Paper(200))
    narrow = list_text(cassette, Paper(110)).splitlines()
    assert all(len(line) <= 110 for line in narrow)
    assert "https://resource" in narrow[1]
    assert narrow[1].endswith("version=2025")


def test_model_is_shortened_where_the_url_cannot_be_shorter() -> None:
    cassette = Cassette((interaction(LONG_URL, {"model": "vendor/" + "m" * 60}),))
    lines = list_text(cassette, Paper(100)).splitlines()
    assert all(len(line) <= 100 for line in lines)
    assert "vendor/" in lines[1]


def test_interaction_that_was_cut_is_marked() -> None:
    cassette = Cassette((replace(interaction(URL, {}), interrupted="the client left"),))
    assert "200 cut" in list_text(cassette, PLAIN)


def test_colours_do_not_shift_the_columns() -> None:
    cassette = Cassette((interaction(URL, {"model": "m"}), interaction(URL, {}, code=502)))
    coloured = list_text(cassette, Paper(120, colour=True))
    assert "\x1b[32m200" in coloured
    assert "\x1b[31m502" in coloured
    for code in ("\x1b[1m", "\x1b[0m", "\x1b[31m", "\x1b[32m"):
        coloured = coloured.replace(code, "")
    assert coloured == list_text(cassette, Paper(120))


def test_conversation_is_shown_from_the_first_message_to_the_usage() -> None:
    item = timed(
        interaction(
            URL,
            {
                "model": "gpt",
                "messages": [
                    {"role": "system", "content": "Be brief.\nBe kind."},
                    {"role": "user", "content": "2+3?"},
                    {
                        "role": "assistant",
                        "tool_calls": [
                            {"id": "c1", "function": {"name": "add", "arguments": '{"a": 2, "b": 3}'}}
                        ],
                    },
                    {"role": "tool", "tool_call_id": "c1", "content": "5"},
                ],
                "tools": [{"function": {"name": "add"}}, {"function": {"name": "mul"}}],
            },
            {
                "model": "gpt-2025",
                "choices": [
                    {
                        "message": {"content": "It is 5.", "reasoning_content": "Easy."},
                        "finish_reason": "stop",
                    }
                ],
                "usage": {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13},
            },
        ),
        1_500_000,
    )
    up, down = len(item.request.body), len(item.response.body)
    assert conversation_text(item, PLAIN) == "\n".join(
        [
            f"POST {URL}",
            f"200 OK  openai-chat  no stream  {up} B up  {down} B down  1.5ms",
            "model   gpt (answered by gpt-2025)",
            "tools   add, mul",
            "",
            "system",
            "  Be brief.",
            "  Be kind.",
            "",
            "user",
            "  2+3?",
            "",
            "assistant",
            '  add({"a": 2, "b": 3})',
            "",
            "tool",
            "  add → 5",
            "",
            "─" * 72,
            "",
            "assistant",
            "  reasoning: Easy.",
            "  It is 5.",
            "",
            "finish  stop",
            "usage   9 in, 4 out, 13 in all",
        ]
    )


def test_text_of_a_stream_is_shown_in_one_piece() -> None:
    assert (
        "\n  Hello there\n"
        in conversation_text(streamed({"content": "Hello"}, {"content": " there"}), PLAIN) + "\n"
    )


def test_results_of_many_lines_are_indented_and_failures_named() -> None:
    url = "https://api.anthropic.com/v1/messages"
    content = [
        {"type": "tool_result", "tool_use_id": "t1", "content": "a\nb"},
        {"type": "tool_result", "tool_use_id": "t2", "content": "no", "is_error": True},
        {"type": "tool_result", "tool_use_id": "t3"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "A" * 4000}},
    ]
    text = conversation_text(interaction(url, {"messages": [{"role": "user", "content": content}]}), PLAIN)
    assert "user\n  t1 →\n    a\n    b\n  t2 failed → no\n  t3 →\n  [image/png, 3.0 kB]\n" in text


def test_tool_that_the_provider_ran_stands_before_the_text_that_came_of_it() -> None:
    answer = {
        "content": [
            {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "x"}},
            {
                "type": "web_search_tool_result",
                "tool_use_id": "s",
                "content": [{"title": "X", "url": "https://x"}],
            },
            {"type": "text", "text": "Found."},
        ]
    }
    text = conversation_text(interaction("https://api.anthropic.com/v1/messages", {}, answer), PLAIN)
    assert '  web_search({"query": "x"})\n  web_search → X https://x\n  Found.' in text


def test_terminal_control_sequences_of_a_cassette_are_escaped_everywhere() -> None:
    evil = "\x1b]0;pwned\x07"
    item = interaction(
        URL + "/chat/completions?" + evil,
        {
            "model": evil,
            "messages": [
                {"role": evil, "content": evil},
                {
                    "role": "assistant",
                    "tool_calls": [{"id": "1", "function": {"name": evil, "arguments": evil}}],
                },
                {"role": "tool", "tool_call_id": evil, "content": evil},
                {"role": "user", "content": [{"type": evil}, {"type": "image_url", "image_url": evil}]},
            ],
            "tools": [{"function": {"name": evil}}],
        },
        {
            "model": evil + "2",
            "error": {"message": evil},
            "choices": [{"message": {"content": evil, "reasoning": evil}, "finish_reason": evil}],
        },
    )
    item = replace(
        item,
        interrupted=evil,
        request=replace(item.request, method=evil),
        response=replace(item.response, status=evil),
    )
    shown = conversation_text(item, PLAIN) + list_text(Cassette((item,)), PLAIN)
    assert shown.count("\\x1b]0;pwned\\x07") >= 15
    assert "\x1b" not in shown
    assert "\x07" not in shown


@pytest.mark.parametrize("describe", [interaction_json, conversation_json])
def test_json_is_ascii_and_survives_lone_surrogates(describe: object) -> None:
    item = interaction(URL + "/\udcff", {"messages": [{"role": "user", "content": "\ud800 é \x1b"}]})
    assert callable(describe)
    text = json.dumps(describe(item))
    assert text.isascii()
    assert "\x1b" not in text


def test_json_keys_of_the_list_stay() -> None:
    assert interaction_json(timed(streamed({"content": "x"}), 1500)) == {
        "id": 0,
        "method": "POST",
        "url": URL,
        "status": "200 OK",
        "code": 200,
        "dialect": "openai-chat",
        "model": "gpt",
        "streamed": True,
        "request_size": 65,
        "response_size": 76,
        "duration": "1.5µs",
        "duration_ns": 1500,
        "interrupted": "",
    }


def test_json_keys_of_a_conversation_stay() -> None:
    value = conversation_json(streamed({"content": "x"}))["conversation"]
    assert value == {
        "dialect": "openai-chat",
        "model": "gpt",
        "answering_model": "",
        "streamed": True,
        "request": (
            {
                "role": "user",
                "text": "Hi",
                "reasoning": "",
                "tool_calls": (),
                "tool_results": (),
                "attachments": (),
            },
        ),
        "tools": (),
        "answer": (
            {
                "role": "assistant",
                "text": "x",
                "reasoning": "",
                "tool_calls": (),
                "tool_results": (),
                "attachments": (),
            },
        ),
        "finish_reason": "",
        "usage": None,
        "error": "",
        "problems": (),
    }


def test_error_and_interruption_are_shown() -> None:
    item = replace(
        interaction(URL, {}, {"error": {"message": "No"}}, code=401), interrupted="the client left"
    )
    lines = conversation_text(item, PLAIN).splitlines()
    assert "error   No" in lines
    assert "interrupted  the client left" in lines


def test_bodies_that_no_dialect_explains_are_shown_as_text() -> None:
    item = interaction("https://api.example.com/v1/else", b"a=1&b=2", b"fine")
    text = conversation_text(item, PLAIN)
    assert "\n  a=1&b=2\n" in text
    assert "\n  fine\n" in text


def test_bodies_that_are_no_text_are_counted() -> None:
    text = conversation_text(interaction("https://api.example.com/v1/audio", b"", b"\x00\xff" * 600), PLAIN)
    assert "(no body)" in text
    assert "(1.2 kB that are no text; --raw writes them)" in text


def test_long_bodies_are_cut() -> None:
    text = conversation_text(interaction("https://api.example.com/v1/else", b"", "é".encode() * 9000), PLAIN)
    assert "(18 kB in all; --raw writes them)" in text
    assert text.count("é") == 2000


def test_finding_is_a_line_as_compilers_write_them() -> None:
    finding = Finding(Kind.CREDENTIAL, "looks like a key", 12, 3, "request.url")
    assert finding_text("a.yaml", finding, PLAIN) == "a.yaml:12: interaction 3: request.url: looks like a key"
    assert finding_text("a.yaml", Finding(Kind.FORMAT, "broken"), PLAIN) == "a.yaml: broken"
    assert "\x1b" not in finding_text("a.yaml", replace(finding, field="request.headers.\x1b"), PLAIN)


def test_json_keys_of_a_finding_stay() -> None:
    assert finding_json(Finding(Kind.CREDENTIAL, "m", 12, 3, "request.url")) == {
        "kind": "credential",
        "message": "m",
        "line": 12,
        "interaction": 3,
        "field": "request.url",
    }
