from __future__ import annotations

import json

import pytest
import yaml

from cassette.errors import FormatError, UnsupportedVersionError
from cassette.events import LIBYAML_OR_PURE
from cassette.loader import read_cassette
from cassette.model import Cassette, Interaction, Layout, Request, Response
from tests.support.shared import SHARED, corpus_cassettes, needs_shared

ZERO_REQUEST = Request("", "", proto="", proto_major=0, proto_minor=0)
ZERO_RESPONSE = Response("", 0, proto="", proto_major=0, proto_minor=0, content_length=0)

WRITTEN_BY_YAML_V3 = """\
---
version: 2
interactions:
    - id: 3
      request:
        proto: HTTP/1.1
        proto_major: 1
        proto_minor: 1
        content_length: 2
        transfer_encoding: [chunked]
        trailer: {}
        host: api.example.com
        remote_addr: ""
        request_uri: ""
        body: '{}'
        form: {}
        headers:
            Accept:
                - '*/*'
        url: https://api.example.com/
        method: POST
      response:
        proto: HTTP/2.0
        proto_major: 2
        proto_minor: 0
        transfer_encoding: []
        trailer: {}
        content_length: -1
        uncompressed: true
        body: |
            one
        headers:
            Vary: [a, b]
        status: 200 OK
        code: 200
        duration: 1.5ms
"""


def read_one(fields: str) -> Interaction:
    indented = fields.replace("\n", "\n  ")
    (interaction,) = read_cassette(f"version: 2\ninteractions:\n- {indented}".encode()).interactions
    return interaction


def read_request(fields: str) -> Request:
    return read_one("request:\n  " + fields.replace("\n", "\n  ")).request


def read_body(scalar: str) -> bytes:
    return read_request(f"body: {scalar}").body


def test_file_of_the_older_layout_is_read_whole() -> None:
    cassette = read_cassette(WRITTEN_BY_YAML_V3.encode())
    request = Request(
        "POST",
        "https://api.example.com/",
        body=b"{}",
        headers={"Accept": ("*/*",)},
        host="api.example.com",
        content_length=2,
        transfer_encoding=("chunked",),
    )
    response = Response(
        "200 OK",
        200,
        body=b"one\n",
        headers={"Vary": ("a", "b")},
        proto="HTTP/2.0",
        proto_major=2,
        proto_minor=0,
        uncompressed=True,
        duration_ns=1_500_000,
    )
    assert cassette == Cassette((Interaction(3, request, response),), layout=Layout.GO_VCR)


@pytest.mark.parametrize(
    ("interactions", "layout"),
    [
        ("interactions:\n- id: 1\n", Layout.CHARM),
        ("interactions:\n  - id: 1\n", Layout.GO_VCR),
        ("interactions:\n    - id: 1\n", Layout.GO_VCR),
        ("interactions: []\n", Layout.CHARM),
        ("interactions:\n", Layout.CHARM),
        ("interactions: [ {id: 1}]\n", Layout.CHARM),
    ],
)
def test_layout_is_that_of_the_first_interaction(interactions: str, layout: Layout) -> None:
    assert read_cassette(f"version: 2\n{interactions}".encode()).layout is layout


def test_missing_fields_have_the_zero_values_of_go() -> None:
    expected = Interaction(0, ZERO_REQUEST, ZERO_RESPONSE)
    assert read_one("id: 0") == expected
    assert read_one("request: {}\nresponse: {}") == expected
    assert read_one("request:\nresponse: null") == expected


def test_nulls_are_zero_values_too() -> None:
    texts = ["proto", "host", "remote_addr", "request_uri", "body", "url", "method"]
    names = [*texts, "proto_major", "content_length", "transfer_encoding", "trailer", "form", "headers"]
    assert read_request("\n".join(f"{name}: ~" for name in names)) == ZERO_REQUEST
    names = ["status", "code", "uncompressed", "duration", "body", "headers"]
    assert (
        read_one("response: {" + ", ".join(f"{name}: null" for name in names) + "}").response == ZERO_RESPONSE
    )


def test_cassette_without_interactions_is_empty() -> None:
    for text in (b"version: 2", b"version: 2\ninteractions:\n", b'{"version": 2, "interactions": []}'):
        assert read_cassette(text) == Cassette()


def test_unknown_fields_are_skipped_on_every_level() -> None:
    text = (
        "recorded_by: {a: [b, {c: d}]}\nversion: 2\ninteractions:\n- note: [x]\n  id: 4\n"
        "  request: {extra: {y: z}, method: GET}\n  response: {more: 1, code: 200}\nend: 1\n"
    )
    (interaction,) = read_cassette(text.encode()).interactions
    assert (interaction.id, interaction.request.method, interaction.response.code) == (4, "GET", 200)


@pytest.mark.parametrize(
    "text", ["=", ".5_", "0x_", "0x1F", "yes", "on", "1_000", "2001-01-01", "1:30", "-.inf"]
)
def test_plain_text_is_never_taken_for_another_type(text: str) -> None:
    request = read_request(f"body: {text}\nurl: {text}\nheaders: {{{text}: [{text}]}}")
    assert request.body == text.encode()
    assert request.url == text
    assert request.headers == {text: (text,)}


@pytest.mark.parametrize(
    ("scalar", "body"),
    [
        ("plain text", b"plain text"),
        ("'it''s'", b"it's"),
        (r'"{\"a\":\t\"\u00e9\\n\"}\n"', '{"a":\t"é\\n"}\n'.encode()),
        (r'"\U0001F600\x41\/"', "😀A/".encode()),
        ("'null'", b"null"),
        ('"~"', b"~"),
        ("!!str null", b"null"),
        ("! null", b"null"),
        ("!!null null", b""),
        ("!!binary /29r", b"\xffok"),
        ("!!binary |\n    /2\n    9r\n", b"\xffok"),
        ("!!binary ''", b""),
        (">-\n    folded\n    text\n", b"folded text"),
        ("|+\n    kept\n\n", b"kept\n\n"),
        ("plain\n    on two lines", b"plain on two lines"),
        ("42", b"42"),
    ],
)
def test_body_of_every_style_is_its_bytes(scalar: str, body: bytes) -> None:
    assert read_body(scalar) == body


def test_json_body_in_double_quotes_as_goccy_writes_it_is_read() -> None:
    body = json.dumps({"text": 'é "quoted"\n\t\\', "n": [1, 2.5, None]}, ensure_ascii=False)
    assert read_body(json.dumps(body, ensure_ascii=False)) == body.encode()


def test_text_of_bytes_that_are_not_utf8_carries_them_as_surrogates() -> None:
    request = read_request("url: !!binary /29r\nheaders:\n  !!binary /w==: [!!binary /g==, !!binary w6k=]")
    assert request.url == "\udcffok"
    assert request.headers == {"\udcff": ("\udcfe", "é")}


def test_one_value_instead_of_a_list_is_a_list_of_one() -> None:
    request = read_request("headers: {A: b, C: null, D: []}\ntransfer_encoding: chunked")
    assert request.headers == {"A": ("b",), "C": (), "D": ()}
    assert request.transfer_encoding == ("chunked",)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0),
        ("-1", -1),
        ("+7", 7),
        ("1_000", 1000),
        ("0x1F", 31),
        ("0o17", 15),
        ("017", 15),
        ("-0b11", -3),
        ("'12'", 12),
        ("!!int 5", 5),
        ("9223372036854775807", (1 << 63) - 1),
        ("-9223372036854775808", -(1 << 63)),
    ],
)
def test_integers_are_read_in_every_notation_of_go_yaml(text: str, number: int) -> None:
    assert read_request(f"content_length: {text}").content_length == number


@pytest.mark.parametrize(
    ("text", "value"),
    [("true", True), ("True", True), ("yes", True), ("false", False), ("OFF", False), ("", False)],
)
def test_uncompressed_is_read_as_a_bool(text: str, value: bool) -> None:
    assert read_one(f"response: {{uncompressed: {text}}}").response.uncompressed is value


def test_reason_of_an_interruption_is_read() -> None:
    assert read_one("interrupted: the client left").interrupted == "the client left"


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("just text", 1, "not a cassette: it begins with"),
        ("- a\n- b", 1, "not a cassette: it begins with"),
        ("---\ninteractions: []", 2, "it has no `version: 2`"),
        ("version: two", 1, "expected an integer of 64 bits, not 'two'"),
        ("version: [2]", 1, "expected a single text or number"),
        ("version: 2\ninteractions: {}", 2, "`interactions` has to be a list"),
        ("version: 2\ninteractions: x", 2, "`interactions` has to be a list"),
        ("version: 2\ninteractions:\n- x", 3, "an interaction has to have"),
        ("version: 2\ninteractions:\n-", 3, "an interaction has to have"),
        ("version: 2\ninteractions:\n- request: x", 3, "expected fields with names"),
        ("version: 2\ninteractions:\n- request:\n    body: {}", 4, "expected a single text or number"),
        ("version: 2\ninteractions:\n- request:\n    body: !!binary '*'", 4, "not base64"),
        ("version: 2\ninteractions:\n- request:\n    body: !!binary é", 4, "not base64"),
        ("version: 2\ninteractions:\n- request:\n    headers: []", 4, "expected names with lists"),
        ("version: 2\ninteractions:\n- request:\n    headers: {A: [[b]]}", 4, "expected a single text"),
        ("version: 2\ninteractions:\n- request:\n    headers: {[a]: b}", 4, "expected a single text"),
        (
            "version: 2\ninteractions:\n- request:\n    headers:\n      A: b\n      A: c",
            6,
            "'A' is there twice",
        ),
        ("version: 2\ninteractions:\n- request:\n    url: a\n    url: b", 5, "'url' is there twice"),
        ("version: 2\nx: 1\nx: 2", 3, "'x' is there twice"),
        ("version: 2\nversion: 2", 2, "'version' is there twice"),
        ("version: 2\n<<: {a: b}", 2, "merge keys"),
        ("version: 2\ninteractions:\n- request:\n    headers: {<<: [b]}", 4, "merge keys"),
        ("version: 2\ninteractions:\n- id: 1.5", 3, "expected an integer"),
        ("version: 2\ninteractions:\n- id: 9223372036854775808", 3, "expected an integer of 64 bits"),
        ("version: 2\ninteractions:\n- id: 0b" + "1" * 70, 3, "expected an integer of 64 bits"),
        ("version: 2\ninteractions:\n- id: " + "1" * 10_000, 3, "expected an integer of 64 bits"),
        ("version: 2\ninteractions:\n- id: 08", 3, "expected an integer of 64 bits"),
        ("version: 2\ninteractions:\n- id: \u0661", 3, "expected an integer of 64 bits"),
        ("version: 2\ninteractions:\n- response:\n    uncompressed: maybe", 4, "expected true or false"),
        ("version: 2\ninteractions:\n- response:\n    duration: soon", 4, "'soon' is not a duration"),
        ("version: 2\ninteractions:\n- response:\n    duration: 5", 4, "'5' is not a duration"),
        ("version: 2\n---\nversion: 2", 2, "a second document"),
    ],
)
def test_wrong_file_is_a_format_error_with_its_line(text: str, line: int, message: str) -> None:
    with pytest.raises(FormatError, match=message) as caught:
        read_cassette(text.encode())
    assert caught.value.line == line
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


def test_version_1_is_explained() -> None:
    old = b"---\nversion: 1\ninteractions:\n- request:\n    body: ''\n    form: {}\n    url: http://h/\n"
    with pytest.raises(
        UnsupportedVersionError, match="version 1 is the format of go-vcr v1 and v2"
    ) as caught:
        read_cassette(old)
    assert caught.value.line == 2


@pytest.mark.parametrize("version", ["0", "3", "-2"])
def test_other_versions_are_unsupported(version: str) -> None:
    with pytest.raises(UnsupportedVersionError, match=f"version {version} is unknown"):
        read_cassette(f"version: {version}\ninteractions: []\n".encode())


def test_half_of_a_surrogate_pair_is_a_format_error_with_both_parsers() -> None:
    for text in (r'body: "\ud83d"', r'url: "\udc80"', r'headers: {"\udc80": []}'):
        for parser in (LIBYAML_OR_PURE, yaml.BaseLoader):
            with pytest.raises(FormatError):
                read_cassette(f"version: 2\ninteractions:\n- request:\n    {text}".encode(), parser)


@needs_shared
def test_pure_parser_reads_real_cassettes_as_libyaml_does() -> None:
    for path in corpus_cassettes()[::4]:
        data = path.read_bytes()
        assert read_cassette(data, yaml.BaseLoader) == read_cassette(data)


@needs_shared
def test_pure_parser_reads_what_go_wrote_as_libyaml_does() -> None:
    assert SHARED is not None
    lines = (SHARED / "vectors" / "scalars.jsonl").read_text("utf-8").splitlines()
    for line in lines[::10]:
        data = json.loads(line)["yaml"].encode()
        assert read_cassette(data, yaml.BaseLoader) == read_cassette(data)
