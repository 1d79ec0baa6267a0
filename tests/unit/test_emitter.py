from __future__ import annotations

import tracemalloc

import pytest

from cassette.emitter import EMPTY_DOCUMENT, document_head, interaction_text
from cassette.model import Interaction, Layout, Request, Response

FULL = Interaction(
    id=7,
    request=Request(
        method="POST",
        url="https://api.example.com/v1/chat?key=REDACTED",
        body=b'{"it\'s":1}',
        headers={"X-10": ("b",), "Content-Type": ("application/json",), "X-9": ("a", "true")},
        form={"key": ("REDACTED",), "none": ()},
        host="api.example.com",
        content_length=10,
        transfer_encoding=("chunked",),
        trailer={"Expires": ("0",)},
        remote_addr="127.0.0.1:1",
        request_uri="/v1/chat",
    ),
    response=Response(
        status="200 OK",
        code=200,
        body=b"data: 1\n\ndata: [DONE]\n\n",
        headers={"Content-Type": ("text/event-stream",)},
        proto="HTTP/2.0",
        proto_major=2,
        proto_minor=0,
        transfer_encoding=("chunked",),
        trailer={"Grpc-Status": ("0",)},
        uncompressed=True,
        duration_ns=324_113_458,
    ),
)

FULL_AS_CHARM_WRITES_IT = """\
- id: 7
  request:
    proto: HTTP/1.1
    proto_major: 1
    proto_minor: 1
    content_length: 10
    transfer_encoding:
    - chunked
    trailer:
      Expires:
      - "0"
    host: api.example.com
    remote_addr: 127.0.0.1:1
    request_uri: /v1/chat
    body: '{"it''s":1}'
    form:
      key:
      - REDACTED
      none: []
    headers:
      Content-Type:
      - application/json
      X-9:
      - a
      - "true"
      X-10:
      - b
    url: https://api.example.com/v1/chat?key=REDACTED
    method: POST
  response:
    proto: HTTP/2.0
    proto_major: 2
    proto_minor: 0
    transfer_encoding:
    - chunked
    trailer:
      Grpc-Status:
      - "0"
    content_length: -1
    uncompressed: true
    body: |+
      data: 1

      data: [DONE]

    headers:
      Content-Type:
      - text/event-stream
    status: 200 OK
    code: 200
    duration: 324.113458ms
"""

FULL_AS_GO_VCR_WRITES_IT = """\
    - id: 7
      request:
        proto: HTTP/1.1
        proto_major: 1
        proto_minor: 1
        content_length: 10
        transfer_encoding:
            - chunked
        trailer:
            Expires:
                - "0"
        host: api.example.com
        remote_addr: 127.0.0.1:1
        request_uri: /v1/chat
        body: '{"it''s":1}'
        form:
            key:
                - REDACTED
            none: []
        headers:
            Content-Type:
                - application/json
            X-9:
                - a
                - "true"
            X-10:
                - b
        url: https://api.example.com/v1/chat?key=REDACTED
        method: POST
      response:
        proto: HTTP/2.0
        proto_major: 2
        proto_minor: 0
        transfer_encoding:
            - chunked
        trailer:
            Grpc-Status:
                - "0"
        content_length: -1
        uncompressed: true
        body: |+
            data: 1

            data: [DONE]

        headers:
            Content-Type:
                - text/event-stream
        status: 200 OK
        code: 200
        duration: 324.113458ms
"""

SMALLEST_AS_CHARM_WRITES_IT = """\
- id: 0
  request:
    proto: HTTP/1.1
    proto_major: 1
    proto_minor: 1
    content_length: 0
    host: ""
    url: http://h/
    method: GET
  response:
    proto: HTTP/1.1
    proto_major: 1
    proto_minor: 1
    content_length: -1
    body: ""
    headers: {}
    status: 204 No Content
    code: 204
    duration: 0s
"""

STRANGE_NAME = " a\nb"
SEVERAL_LINES_AS_CHARM_WRITES_THEM = """\
    transfer_encoding:
    - |2-
       a
      b
    - x
    trailer:
      T:
      - |2-
         a
        b
    host: |2-
       a
      b
    form:
      ? |2-
         a
        b
      : - |2-
           a
          b
        - v
      ? |-
        c
        d
      : []
      zz: []
"""
SEVERAL_LINES_AS_GO_VCR_WRITES_THEM = """\
        transfer_encoding:
            - " a\\nb"
            - x
        trailer:
            T:
                - " a\\nb"
        host: |4-
             a
            b
        form:
            ? |4-
                 a
                b
            :   - " a\\nb"
                - v
            ? |-
                c
                d
            : []
            zz: []
"""


def text_of(interaction: Interaction, layout: Layout = Layout.CHARM) -> str:
    return b"".join(interaction_text(interaction, layout)).decode()


def with_request(**fields: object) -> Interaction:
    return Interaction(0, Request("GET", "http://h/", **fields), Response("200 OK", 200))  # type: ignore[arg-type]


def with_body(body: bytes) -> Interaction:
    return Interaction(0, Request("GET", "http://h/"), Response("200 OK", 200, body=body))


def test_full_interaction_is_written_as_charm_writes_it() -> None:
    assert text_of(FULL) == FULL_AS_CHARM_WRITES_IT


def test_full_interaction_is_written_as_go_vcr_writes_it_by_default() -> None:
    assert text_of(FULL, Layout.GO_VCR) == FULL_AS_GO_VCR_WRITES_IT


def test_empty_fields_are_left_out_where_go_omits_them() -> None:
    interaction = Interaction(0, Request("GET", "http://h/"), Response("204 No Content", 204))
    assert text_of(interaction) == SMALLEST_AS_CHARM_WRITES_IT


@pytest.mark.parametrize(
    ("layout", "expected"),
    [
        (Layout.CHARM, SEVERAL_LINES_AS_CHARM_WRITES_THEM),
        # go-yaml writes `|4-` in the lists as well, and cannot read that: the lines stand 2 to the right, not 4.
        (Layout.GO_VCR, SEVERAL_LINES_AS_GO_VCR_WRITES_THEM),
    ],
)
def test_text_of_several_lines_stands_where_go_yaml_puts_it(layout: Layout, expected: str) -> None:
    interaction = with_request(
        transfer_encoding=(STRANGE_NAME, "x"),
        trailer={"T": (STRANGE_NAME,)},
        host=STRANGE_NAME,
        form={STRANGE_NAME: (STRANGE_NAME, "v"), "c\nd": (), "zz": ()},
    )
    assert expected in text_of(interaction, layout)


def test_long_name_is_an_explicit_key() -> None:
    long = "a" * 129
    text = text_of(with_request(headers={long: ("1", "v"), "a" * 128: ("v",)}))
    assert f'      ? {long}\n      : - "1"\n        - v\n' in text
    assert f"      {'a' * 128}:\n      - v\n" in text


def test_names_that_read_as_another_type_are_quoted() -> None:
    text = text_of(with_request(headers={"yes": (), "1": (), "": (), "a b": (), "!": ()}))
    assert (
        '    headers:\n      "": []\n      \'!\': []\n      "1": []\n      a b: []\n      "yes": []\n' in text
    )


def test_bytes_that_are_not_utf8_become_base64_in_every_place() -> None:
    broken = b"\xffok".decode("utf-8", "surrogateescape")
    text = text_of(with_request(headers={broken: (broken,)}, host=broken, body=b"\xffok"))
    assert "    host: !!binary /29r\n    body: !!binary /29r\n" in text
    assert "      !!binary /29r:\n      - !!binary /29r\n" in text


def test_surrogate_that_stands_for_no_byte_is_an_error() -> None:
    with pytest.raises(UnicodeEncodeError):
        interaction_text(with_request(host="\ud800"))


def test_reason_of_an_interruption_stands_behind_the_response() -> None:
    interaction = Interaction(0, FULL.request, FULL.response, interrupted="the client left: gone")
    charm, go_vcr = (text_of(interaction, layout) for layout in Layout)
    assert charm.endswith("    duration: 324.113458ms\n  interrupted: 'the client left: gone'\n")
    assert go_vcr.endswith("        duration: 324.113458ms\n      interrupted: 'the client left: gone'\n")


def test_texts_longer_than_those_remembered_are_written_alike() -> None:
    url = "http://h/?" + "a=b&" * 1000
    text = text_of(Interaction(0, Request("GET", url, headers={"A": (url, f"{url}\n")}), Response("", 0)))
    assert f"    url: {url}\n" in text
    assert f"      A:\n      - {url}\n      - |\n        {url}\n    url" in text


def test_head_and_empty_document_are_those_of_go_vcr() -> None:
    assert document_head() == b"---\nversion: 2\ninteractions:\n"
    assert EMPTY_DOCUMENT == b"---\nversion: 2\ninteractions: []\n"


def test_small_interaction_is_one_piece_and_a_large_one_few() -> None:
    assert len(interaction_text(FULL)) == 1
    assert len(interaction_text(with_body(b"data: {}\n" * 1_000_000))) < 100


@pytest.mark.parametrize(
    "unit",
    [
        pytest.param("data: {}\n\n", id="events"),
        pytest.param("it's\n", id="short lines"),
        pytest.param('{"a": "b\\n"}', id="json"),
        pytest.param('"\r\n', id="escapes"),
        pytest.param("\0", id="zeros"),
        pytest.param("語", id="wide"),
        pytest.param("\n", id="empty lines"),
        pytest.param("1:1", id="numbers"),
    ],
)
@pytest.mark.parametrize("end", ["", "😀"])
def test_large_body_needs_little_memory_beside_what_is_written(unit: str, end: str) -> None:
    body = unit.encode() * (4_000_000 // len(unit.encode())) + end.encode()
    interaction = with_body(body)
    tracemalloc.start()
    try:
        pieces = interaction_text(interaction)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # A single emoji in a decoded text would already take 16 MB.
    assert peak < sum(map(len, pieces)) + 3_500_000
