"""The client of `wiretape demo`: an agent in miniature that knows nothing of the recording.

It runs as a process of its own, with nothing but the standard library, and finds the proxy and the
roots to trust where any client does: in HTTPS_PROXY and SSL_CERT_FILE. It asks the router to add two
numbers, prints every piece of the answer with the time of its arrival, runs the tool that the model
calls, sends the result back and prints the final answer.
"""

from __future__ import annotations

import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

URL = "https://router.huggingface.co/v1/chat/completions"

_QUESTION = "What is 2 + 3? Use the tool."
_TIMEOUT_SECONDS = 20
_TOOL = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Add two integers.",
        "parameters": {
            "type": "object",
            "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
            "required": ["a", "b"],
        },
    },
}


def demo_key() -> str:
    """Return what the client sends as its API key: worthless, but of the shape of a real one.

    Put together here, so that no scanner of source code takes it for a leak.
    """
    return "hf_" + "WiretapeDemo" * 3


def main() -> int:
    """Run both turns; return the exit status."""
    messages: list[dict[str, Any]] = [{"role": "user", "content": _QUESTION}]
    _print(f"> {_QUESTION}")
    try:
        reply = _turn(messages)
        messages.append(reply)
        for call in reply["tool_calls"]:
            arguments = json.loads(call["function"]["arguments"])
            result = arguments["a"] + arguments["b"]
            _print(f"> add({arguments['a']}, {arguments['b']}) = {result}")
            messages.append({"role": "tool", "tool_call_id": call["id"], "content": str(result)})
        answer = _turn(messages)
    except urllib.error.URLError as error:
        sys.stderr.write(f"demo client: {URL}: {error}\n")
        return 1
    _print(f"= {answer['content'].strip()}")
    return 0


def _turn(messages: list[dict[str, Any]]) -> dict[str, Any]:
    """Send the conversation and return the assistant's message, put together from the stream."""
    body = {"model": "wiretape/demo", "messages": messages, "tools": [_TOOL], "stream": True}
    request = urllib.request.Request(
        URL,
        data=json.dumps(body).encode(),
        headers={
            "Authorization": f"Bearer {demo_key()}",
            "Content-Type": "application/json",
            "Accept": "text/event-stream",
        },
    )
    content = ""
    calls: list[dict[str, Any]] = []
    started = time.monotonic()
    for event in _events(request):
        elapsed_ms = (time.monotonic() - started) * 1000
        delta = event["choices"][0]["delta"]
        if text := delta.get("content"):
            content += text
            _print(f"  {elapsed_ms:6.0f} ms  {text}")
        for part in delta.get("tool_calls", ()):
            function = part["function"]
            if "name" in function:
                calls.append({"id": part["id"], "type": "function", "function": dict(function)})
                _print(f"  {elapsed_ms:6.0f} ms  calls {function['name']}")
            else:
                calls[part["index"]]["function"]["arguments"] += function["arguments"]
                _print(f"  {elapsed_ms:6.0f} ms    {function['arguments'].strip()}")
    return {"role": "assistant", "content": content or None} | ({"tool_calls": calls} if calls else {})


def _events(request: urllib.request.Request) -> Iterator[dict[str, Any]]:
    """Yield the JSON of each event as it arrives, until the stream says that it is done."""
    with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as response:  # noqa: S310
        for line in response:
            data = line.decode().strip().removeprefix("data: ")
            if data == "[DONE]":
                # Read on to the end of the body, as a client must that wants to keep its connection.
                response.read()
                return
            if data:
                yield json.loads(data)


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
