from __future__ import annotations

import pytest

from cassette.conversation import Attachment, Message, Usage, read_conversation
from tests.support.talk import interaction

URL = "https://api.openai.com/v1/embeddings"


@pytest.mark.parametrize(
    ("given", "messages"),
    [
        ("one", (Message("user", "one"),)),
        (["one", "two"], (Message("user", "one"), Message("user", "two"))),
        ([1, 2, 3], (Message("user", attachments=(Attachment("tokens", None),)),)),
        ([[1], [2]], (Message("user", attachments=(Attachment("tokens", None),)),) * 2),
    ],
)
def test_every_text_is_a_message(given: object, messages: tuple[Message, ...]) -> None:
    assert read_conversation(interaction(URL, {"model": "e", "input": given})).request == messages


@pytest.mark.parametrize("vector", [[0.1, 0.2, 0.3], "AAAAAAAAAAAAAAAA"], ids=["numbers", "base64"])
def test_vectors_are_counted(vector: object) -> None:
    body = {"model": "e", "data": [{"embedding": vector}], "usage": {"prompt_tokens": 2, "total_tokens": 2}}
    conversation = read_conversation(interaction(URL, {"input": "one"}, body))
    assert conversation.answer == (Message("assistant", "1 vector of 3 dimensions"),)
    assert conversation.usage == Usage(2, total=2)


def test_vectors_of_gemini_are_counted() -> None:
    url = "https://generativelanguage.googleapis.com/v1beta/models/e:batchEmbedContents"
    request = {"requests": [{"content": {"parts": [{"text": "one"}]}}]}
    conversation = read_conversation(
        interaction(url, request, {"embeddings": [{"values": [0.5, 0.5]}, {"values": [1, 0]}]})
    )
    assert conversation.request == (Message("user", "one"),)
    assert conversation.answer == (Message("assistant", "2 vectors of 2 dimensions"),)


def test_single_vector_of_gemini_is_counted() -> None:
    url = "https://generativelanguage.googleapis.com/v1beta/models/e:embedContent"
    request = {"content": {"parts": [{"text": "one"}]}}
    conversation = read_conversation(interaction(url, request, {"embedding": {"values": [0.5]}}))
    assert conversation.request == (Message("user", "one"),)
    assert conversation.answer == (Message("assistant", "1 vector of 1 dimensions"),)


def test_stream_of_embeddings_is_its_last_event() -> None:
    body = b'data: {"data": [{"embedding": [1]}]}\n\n'
    assert read_conversation(interaction(URL, {}, body)).answer[0].text == "1 vector of 1 dimensions"
