"""Perform calls with the openai SDK and print what it made of each answer, as a line of JSON.

Standard input: a list of objects with the url, the request's body and whether the answer streams. A line is the
response as an object, or the list of its events. It runs in an environment of its own, which has the SDK.
"""

from __future__ import annotations

import functools
import inspect
import json
import sys
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import openai


@functools.cache
def client_of(base_url: str, query: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=base_url, api_key="k", default_query=dict(parse_qsl(query)), max_retries=0)


def main() -> None:
    for call in json.load(sys.stdin):
        parts = urlsplit(call["url"])
        base_url, _, method = f"{parts.scheme}://{parts.netloc}{parts.path}".rpartition("/")
        client = client_of(base_url.removesuffix("/chat"), parts.query)
        resource = client.responses if method == "responses" else client.chat.completions
        print(json.dumps(answer_of(resource, call["body"], streams=call["streams"])), flush=True)


def answer_of(resource: Any, body: dict[str, Any], *, streams: bool) -> Any:
    """Call `create`, with what this version of the SDK knows by name, and the rest beside it."""
    names = inspect.signature(resource.create).parameters
    known = {name: value for name, value in body.items() if name in names}
    rest = {name: value for name, value in body.items() if name not in names}
    answer = resource.create(**known, extra_body=rest or None)
    return [as_sent(event) for event in answer] if streams else as_sent(answer)


def as_sent(model: Any) -> Any:
    """Return what the server said, as far as the SDK kept it: all of it."""
    return model.model_dump(mode="json", by_alias=True, exclude_unset=True, warnings=False)


if __name__ == "__main__":
    main()
