"""Stream a chat completion with one of Python's clients and print each piece as soon as it is there.

Arguments: which client, the base URL, the key, the request's body as JSON. It runs in an environment of its
own, which has the clients.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any


def openai_sync(base_url: str, key: str, body: dict[str, Any]) -> None:
    import openai

    with openai.OpenAI(base_url=base_url, api_key=key, max_retries=0) as client:
        for chunk in client.chat.completions.create(**body):
            print(chunk.choices[0].delta.content, flush=True)


async def openai_async(base_url: str, key: str, body: dict[str, Any]) -> None:
    import openai

    async with openai.AsyncOpenAI(base_url=base_url, api_key=key, max_retries=0) as client:
        async for chunk in await client.chat.completions.create(**body):
            print(chunk.choices[0].delta.content, flush=True)


def httpx_sync(base_url: str, key: str, body: dict[str, Any], *, http2: bool = False) -> None:
    import httpx

    headers = {"Authorization": f"Bearer {key}"}
    url = f"{base_url}/chat/completions"
    with (
        httpx.Client(http2=http2, headers=headers) as client,
        client.stream("POST", url, json=body) as response,
    ):
        response.raise_for_status()
        for text in response.iter_text():
            print(text, end="", flush=True)


async def httpx_async(base_url: str, key: str, body: dict[str, Any]) -> None:
    import httpx

    headers = {"Authorization": f"Bearer {key}"}
    url = f"{base_url}/chat/completions"
    async with (
        httpx.AsyncClient(http2=True, headers=headers) as client,
        client.stream("POST", url, json=body) as response,
    ):
        response.raise_for_status()
        async for text in response.aiter_text():
            print(text, end="", flush=True)


def main() -> None:
    which, base_url, key, text = sys.argv[1:]
    body = json.loads(text)
    match which:
        case "openai":
            openai_sync(base_url, key, body)
        case "openai-async":
            asyncio.run(openai_async(base_url, key, body))
        case "httpx":
            httpx_sync(base_url, key, body)
        case "httpx-http2":
            httpx_sync(base_url, key, body, http2=True)
        case "httpx-async":
            asyncio.run(httpx_async(base_url, key, body))
        case _:
            sys.exit(f"no such client: {which}")


if __name__ == "__main__":
    main()
