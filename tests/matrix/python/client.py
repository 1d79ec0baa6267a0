"""One plain and one streamed call with one of Python's clients, at the host that it asks by default.

The argument names the client; keys come from the environment under the names that the SDKs know. An SDK prints
the text that it got, a line for the plain call and one for the streamed one, each piece as soon as it is there;
an HTTP client writes both bodies as it got them.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable
from typing import Any

MODEL = "made"
QUESTION = "Wie warm ist es? 🌡"
MESSAGES: list[Any] = [{"role": "user", "content": QUESTION}]
URL = "https://api.openai.com/v1/chat/completions"


def say(text: str | None, end: str = "") -> None:
    sys.stdout.buffer.write(((text or "") + end).encode())
    sys.stdout.buffer.flush()


def write(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def body(*, stream: bool) -> Any:
    return {"model": MODEL, "messages": MESSAGES, "stream": stream}


def headers() -> dict[str, str]:
    return {"Authorization": f"Bearer {os.environ['OPENAI_API_KEY']}", "Content-Type": "application/json"}


def openai_chat() -> None:
    import openai

    client = openai.OpenAI(max_retries=0)
    answer = client.chat.completions.create(model=MODEL, messages=MESSAGES)
    say(answer.choices[0].message.content, "\n")
    for chunk in client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True):
        say(chunk.choices[0].delta.content)


def openai_responses() -> None:
    import openai

    client = openai.OpenAI(max_retries=0)
    say(client.responses.create(model=MODEL, input=QUESTION).output_text, "\n")
    for event in client.responses.create(model=MODEL, input=QUESTION, stream=True):
        if event.type == "response.output_text.delta":
            say(event.delta)


async def openai_async() -> None:
    import openai

    client = openai.AsyncOpenAI(max_retries=0)
    answer = await client.chat.completions.create(model=MODEL, messages=MESSAGES)
    say(answer.choices[0].message.content, "\n")
    async for chunk in await client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True):
        say(chunk.choices[0].delta.content)


def anthropic() -> None:
    import anthropic

    client = anthropic.Anthropic(max_retries=0)
    answer = client.messages.create(model=MODEL, max_tokens=99, messages=MESSAGES)
    say(answer.content[0].text, "\n")
    with client.messages.stream(model=MODEL, max_tokens=99, messages=MESSAGES) as stream:
        for text in stream.text_stream:
            say(text)


def google_genai() -> None:
    from google import genai

    client = genai.Client()
    say(client.models.generate_content(model=MODEL, contents=QUESTION).text, "\n")
    for chunk in client.models.generate_content_stream(model=MODEL, contents=QUESTION):
        say(chunk.text)


async def google_genai_async() -> None:
    from google import genai

    client = genai.Client()
    answer = await client.aio.models.generate_content(model=MODEL, contents=QUESTION)
    say(answer.text, "\n")
    async for chunk in await client.aio.models.generate_content_stream(model=MODEL, contents=QUESTION):
        say(chunk.text)


def mistralai() -> None:
    try:
        from mistralai.client import Mistral
    except ImportError:  # mistralai 1
        from mistralai import Mistral

    client = Mistral(api_key=os.environ["MISTRAL_API_KEY"])
    say(client.chat.complete(model=MODEL, messages=MESSAGES).choices[0].message.content, "\n")
    for event in client.chat.stream(model=MODEL, messages=MESSAGES):
        say(event.data.choices[0].delta.content)


def groq() -> None:
    import groq

    client = groq.Groq(max_retries=0)
    say(client.chat.completions.create(model=MODEL, messages=MESSAGES).choices[0].message.content, "\n")
    for chunk in client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True):
        say(chunk.choices[0].delta.content)


def huggingface_hub() -> None:
    from huggingface_hub import InferenceClient

    client = InferenceClient(token=os.environ["HF_TOKEN"])
    answer = client.chat_completion(MESSAGES, model="made/model")
    say(answer.choices[0].message.content, "\n")
    for chunk in client.chat_completion(MESSAGES, model="made/model", stream=True):
        say(chunk.choices[0].delta.content)


def litellm() -> None:
    # It would ask a web page for its list of prices on import.
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    import litellm

    answer: Any = litellm.completion(model="openai/made", messages=MESSAGES, num_retries=0)
    say(answer.choices[0].message.content, "\n")
    chunks: Any = litellm.completion(model="openai/made", messages=MESSAGES, stream=True, num_retries=0)
    for chunk in chunks:
        say(chunk.choices[0].delta.content)


async def litellm_async() -> None:
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    import litellm

    # It prints advice about models that it does not know.
    litellm.suppress_debug_info = True
    # Anthropic's dialect goes through litellm's own HTTP handler, which is on aiohttp.
    model = "anthropic/made"
    answer: Any = await litellm.acompletion(model=model, messages=MESSAGES, max_tokens=99, num_retries=0)
    say(answer.choices[0].message.content, "\n")
    chunks: Any = await litellm.acompletion(
        model=model, messages=MESSAGES, max_tokens=99, stream=True, num_retries=0
    )
    async for chunk in chunks:
        say(chunk.choices[0].delta.content)


def boto3() -> None:
    import boto3

    client = boto3.client("bedrock-runtime")
    messages = [{"role": "user", "content": [{"text": QUESTION}]}]
    answer = client.converse(modelId=MODEL, messages=messages)
    say(answer["output"]["message"]["content"][0]["text"], "\n")
    for event in client.converse_stream(modelId=MODEL, messages=messages)["stream"]:
        say(event.get("contentBlockDelta", {}).get("delta", {}).get("text"))


def requests() -> None:
    import requests

    write(requests.post(URL, json=body(stream=False), headers=headers(), timeout=30).content)
    with requests.post(URL, json=body(stream=True), headers=headers(), stream=True, timeout=30) as response:
        for data in response.iter_content(None):
            write(data)


def httpx() -> None:
    import httpx

    write(httpx.post(URL, json=body(stream=False), headers=headers()).content)
    with httpx.stream("POST", URL, json=body(stream=True), headers=headers()) as response:
        for data in response.iter_bytes():
            write(data)


async def httpx_async() -> None:
    import httpx

    async with httpx.AsyncClient(http2=True, headers=headers()) as client:
        write((await client.post(URL, json=body(stream=False))).content)
        async with client.stream("POST", URL, json=body(stream=True)) as response:
            async for data in response.aiter_bytes():
                write(data)


async def aiohttp() -> None:
    import aiohttp

    async with aiohttp.ClientSession(headers=headers(), trust_env=True) as client:
        async with client.post(URL, json=body(stream=False)) as response:
            write(await response.read())
        async with client.post(URL, json=body(stream=True)) as response:
            async for data in response.content.iter_any():
                write(data)


def urllib() -> None:
    from urllib.request import Request, urlopen

    for stream in (False, True):
        data = json.dumps(body(stream=stream)).encode()
        with urlopen(Request(URL, data, headers()), timeout=30) as response:
            while piece := response.read1(65536):
                write(piece)


CLIENTS: dict[str, Callable[[], Any]] = {
    "openai": openai_chat,
    "openai-responses": openai_responses,
    "openai-async": openai_async,
    "anthropic": anthropic,
    "google-genai": google_genai,
    "google-genai-async": google_genai_async,
    "mistralai": mistralai,
    "groq": groq,
    "huggingface_hub": huggingface_hub,
    "litellm": litellm,
    "litellm-async": litellm_async,
    "boto3": boto3,
    "requests": requests,
    "httpx": httpx,
    "httpx-async": httpx_async,
    "aiohttp": aiohttp,
    "urllib": urllib,
}


def main() -> None:
    call = CLIENTS[sys.argv[1]]
    if asyncio.iscoroutinefunction(call):
        asyncio.run(call())
    else:
        call()


if __name__ == "__main__":
    main()
