"""An agent with tools that streams: asks, lets the model call its tools, tells it the results, until it is done.

Arguments: which SDK (`openai` or `anthropic`), the base URL, how often the SDK may try again. Prints everything that
it sees, a JSON value a line: pieces of text, tool calls with their ids, what the tools said, the end. What it cannot
get it prints, too: an error's type, status and message. It runs in an environment of its own, which has the SDKs.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import sys
from typing import Any

QUESTION = "What is 19 times 23, plus 5? Use the tools."
PARAMETERS = {
    "type": "object",
    "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
    "required": ["a", "b"],
}
TOOLS = {"add": lambda a, b: a + b, "multiply": lambda a, b: a * b}
MOST_ROUNDS = 10


def tell(**facts: Any) -> None:
    print(json.dumps(facts), flush=True)


def use(id: str, name: str, text: str) -> str:  # noqa: A002
    """Use a tool, and print that."""
    arguments = json.loads(text)
    result = str(TOOLS[name](**arguments))
    tell(tool=name, id=id, arguments=arguments, result=result)
    return result


def system_prompt() -> str:
    """Return what differs from run to run: the moment, and whatever the test says is in this run's prompt."""
    now = dt.datetime.now(dt.UTC).isoformat(timespec="microseconds")
    return f"You are exact. It is {now}.{os.environ.get('AGENT_PROMPT', '')}"


def run_openai(base_url: str, retries: int) -> None:
    import openai

    client = openai.OpenAI(base_url=base_url, api_key=os.environ["AGENT_KEY"], max_retries=retries)
    tools: list[Any] = [
        {"type": "function", "function": {"name": name, "parameters": PARAMETERS}} for name in TOOLS
    ]
    messages: list[Any] = [
        {"role": "system", "content": system_prompt()},
        {"role": "user", "content": QUESTION},
    ]
    for _ in range(MOST_ROUNDS):
        text = ""
        calls: dict[int, dict[str, str]] = {}
        stream = client.chat.completions.create(model="made", messages=messages, tools=tools, stream=True)
        for chunk in stream:
            delta = chunk.choices[0].delta
            if delta.content:
                text += delta.content
                tell(text=delta.content, answer=chunk.id)
            for piece in delta.tool_calls or []:
                call = calls.setdefault(piece.index, {"id": piece.id, "name": "", "arguments": ""})
                call["name"] += piece.function.name or ""
                call["arguments"] += piece.function.arguments or ""
        if not calls:
            tell(done=text)
            return
        functions = [
            {
                "id": call["id"],
                "type": "function",
                "function": {"name": call["name"], "arguments": call["arguments"]},
            }
            for call in calls.values()
        ]
        messages.append({"role": "assistant", "content": text or None, "tool_calls": functions})
        for call in calls.values():
            result = use(call["id"], call["name"], call["arguments"])
            messages.append({"role": "tool", "tool_call_id": call["id"], "content": result})


def run_anthropic(base_url: str, retries: int) -> None:
    import anthropic

    client = anthropic.Anthropic(base_url=base_url, api_key=os.environ["AGENT_KEY"], max_retries=retries)
    tools: list[Any] = [{"name": name, "input_schema": PARAMETERS} for name in TOOLS]
    messages: list[Any] = [{"role": "user", "content": QUESTION}]
    system = system_prompt()
    for _ in range(MOST_ROUNDS):
        with client.messages.stream(
            model="made", max_tokens=100, system=system, messages=messages, tools=tools
        ) as stream:
            for text in stream.text_stream:
                tell(text=text)
            answer = stream.get_final_message()
        content = [block.model_dump(exclude_unset=True) for block in answer.content]
        messages.append({"role": "assistant", "content": content})
        results = [
            {
                "type": "tool_result",
                "tool_use_id": block.id,
                "content": use(block.id, block.name, json.dumps(block.input)),
            }
            for block in answer.content
            if block.type == "tool_use"
        ]
        if not results:
            tell(done=answer.id, reason=answer.stop_reason)
            return
        messages.append({"role": "user", "content": results})


def main() -> None:
    which, base_url, retries = sys.argv[1:]
    run = {"openai": run_openai, "anthropic": run_anthropic}[which]
    try:
        run(base_url, int(retries))
    except Exception as exc:  # whatever it is, the test is to see it
        tell(error=type(exc).__name__, status=getattr(exc, "status_code", None), message=str(exc))


if __name__ == "__main__":
    main()
