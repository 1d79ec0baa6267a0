"""No bytes make the check raise, and no finding shows a credential, wherever in the file it stands."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cassette.codec import dumps
from cassette.model import Cassette, Interaction, Layout, Request, Response
from cassette.verify import verify

# Put together from parts, so that no scanner takes it for a real one.
KEY = "sk-" + "proj-" + "a1B2" * 10
SECRET = KEY[len("sk-p") :]


def cassette(body: bytes = b'{"model": "m"}', name: str = "Accept", layout: Layout = Layout.CHARM) -> bytes:
    request = Request("POST", "https://h/v1?alt=sse", body, {name: ("application/json",)}, {"alt": ("sse",)})
    response = Response("200 OK", 200, b"data: {}\n\ndata: [DONE]\n\n")
    return dumps(
        Cassette((Interaction(0, request, response), Interaction(1, request, response)), layout=layout)
    )


@given(st.binary())
def test_any_bytes_are_checked(data: bytes) -> None:
    verify(data)
    verify(b"---\nversion: 2\ninteractions:\n" + data)


@given(st.sampled_from(Layout), st.integers(min_value=0), st.integers(0, 30), st.binary(max_size=20))
def test_cassette_with_any_change_is_checked(layout: Layout, at: int, removed: int, added: bytes) -> None:
    data = cassette(layout=layout)
    at %= len(data)
    verify(data[:at] + added + data[at + removed :])


@given(
    st.integers(min_value=0),
    st.sampled_from([KEY, f" {KEY} ", f"\n{KEY}\n", f'"{KEY}"', f"*{KEY}", f": {KEY}"]),
)
def test_credential_put_anywhere_is_not_shown(at: int, text: str) -> None:
    data = cassette()
    at %= len(data) + 1
    for finding in verify(data[:at] + text.encode() + data[at:]):
        assert SECRET not in finding.message


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_credential_in_any_body_is_found(before: bytes, after: bytes) -> None:
    # Apart from what would make it part of a longer word.
    data = cassette(before + b" " + KEY.encode() + b" " + after)
    assert "request.body" in {finding.field for finding in verify(data)}
    for finding in verify(data):
        assert SECRET not in finding.message
