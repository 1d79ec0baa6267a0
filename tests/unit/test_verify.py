from __future__ import annotations

from dataclasses import replace

import pytest

from cassette.codec import dumps, loads
from cassette.model import Cassette, Interaction, Layout, Request, Response, Values
from cassette.verify import Finding, Kind, mask, verify
from tests.support.shared import corpus_cassettes, needs_shared

# Put together from parts, so that no scanner takes them for real ones.
OPENAI_KEY = "sk-" + "proj-" + "a1B2" * 10
GOOGLE_KEY = "AI" + "za" + "x" * 35


def recorded(
    *,
    url: str = "https://api.example.com/v1/chat/completions",
    body: bytes = b'{"model":"m"}',
    headers: Values | None = None,
    form: Values | None = None,
    answer: bytes = b"{}",
    answer_headers: Values | None = None,
) -> Interaction:
    return Interaction(
        0,
        Request("POST", url, body, headers or {}, form or {}, content_length=len(body)),
        Response("200 OK", 200, answer, answer_headers or {}),
    )


def written(*interactions: Interaction, layout: Layout = Layout.CHARM) -> bytes:
    numbered = tuple(replace(item, id=number) for number, item in enumerate(interactions))
    return dumps(Cassette(numbered, layout=layout))


def only(findings: tuple[Finding, ...]) -> Finding:
    (finding,) = findings
    return finding


def line_of(data: bytes, text: bytes) -> int:
    return data[: data.index(text)].count(b"\n") + 1


@needs_shared
def test_real_cassettes_have_no_findings() -> None:
    for path in corpus_cassettes():
        assert verify(path.read_bytes()) == (), path


@pytest.mark.parametrize("layout", Layout)
def test_what_is_written_has_no_findings(layout: Layout) -> None:
    assert verify(written(recorded(), recorded(), layout=layout)) == ()
    assert verify(dumps(Cassette())) == ()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        b"---\nversion: 1\ninteractions: []\n",
        b"\xff\xfe",
        b"---\nversion: 2\ninteractions:\n- [",
    ],
)
def test_file_that_is_no_cassette_falls_short(data: bytes) -> None:
    assert only(verify(data)).kind is Kind.FORMAT


def test_line_of_a_format_error_is_given_once() -> None:
    data = written(recorded()).replace(b"code: 200", b"code: abc")
    finding = only(verify(data))
    assert finding.line == line_of(data, b"code: abc")
    assert not finding.message.startswith("line")


def test_format_error_does_not_quote_a_credential() -> None:
    data = written(recorded()).replace(b"code: 200", b"code: " + OPENAI_KEY.encode())
    finding = only(verify(data))
    assert finding.kind is Kind.FORMAT
    assert OPENAI_KEY[:8] not in finding.message


def test_first_id_out_of_order_is_named() -> None:
    data = written(recorded(), recorded(), recorded()).replace(b"- id: 1", b"- id: 7")
    finding = only(verify(data))
    assert (finding.kind, finding.interaction, finding.field) == (Kind.ORDER, 7, "id")
    assert finding.line == line_of(data, b"- id: 7")
    assert "7" in finding.message
    assert "1 is next" in finding.message


def test_first_line_that_gocvcr_would_write_differently_is_named() -> None:
    data = written(recorded(), recorded())
    changed = data.replace(b"method: POST\n", b"method: 'POST'\n")
    finding = only(verify(changed))
    assert (finding.kind, finding.interaction) == (Kind.LAYOUT, 0)
    assert finding.line == line_of(changed, b"'POST'")
    assert "expected '    method: POST', found \"    method: 'POST'\"" in finding.message


def test_difference_in_a_long_line_is_shown_with_what_stands_around_it() -> None:
    long = "https://h/" + "x" * 500
    data = written(recorded(url=long)).replace(b"x" * 500, b"x" * 400 + b"\\x79" + b"x" * 99)
    data = data.replace(b"url: ", b'url: "').replace(b"x\n    method", b'x"\n    method')
    finding = only(verify(data))
    assert finding.kind is Kind.LAYOUT
    assert len(finding.message) < 250
    assert finding.message.count("…") > 1


def test_difference_in_the_second_interaction_names_it() -> None:
    data = written(recorded(), recorded())
    head, _, tail = data.rpartition(b"code: 200")
    finding = only(verify(head + b"code:  200" + tail))
    assert finding.interaction == 1


def test_missing_last_line_break_is_a_difference() -> None:
    data = written(recorded())
    finding = only(verify(data[:-1]))
    assert finding.kind is Kind.LAYOUT
    assert "expected more lines" in finding.message


def test_text_behind_the_end_is_a_difference() -> None:
    finding = only(verify(written(recorded()) + b"# a comment\n"))
    assert finding.kind is Kind.LAYOUT


def test_any_layout_leaves_the_layout_out_and_nothing_else() -> None:
    data = written(recorded(body=OPENAI_KEY.encode())).replace(b"method: POST", b"method: 'POST'")
    assert {finding.kind for finding in verify(data)} == {Kind.CREDENTIAL, Kind.LAYOUT}
    assert {finding.kind for finding in verify(data, any_layout=True)} == {Kind.CREDENTIAL}


CREDENTIALS = [
    ("request.url", recorded(url=f"https://h/v1?key={GOOGLE_KEY}")),
    ("request.url", recorded(url="https://h/v1?api_key=" + "short")),
    ("request.url", recorded(url="https://user:" + "pass@h/v1")),
    ("request.url", recorded(url=f"https://h/v1/{OPENAI_KEY}/models")),
    ("request.body", recorded(body=b'{"api_key":"' + OPENAI_KEY.encode() + b'"}')),
    ("request.body", recorded(body=b"\xff\xfe" + OPENAI_KEY.encode())),
    (
        "request.body",
        recorded(
            body=b"grant=x&client_secret=" + b"hunter2",
            headers={"Content-Type": ("application/x-www-form-urlencoded",)},
        ),
    ),
    ("request.form.key", recorded(form={"key": (GOOGLE_KEY,)})),
    ("request.form.alt", recorded(form={"alt": (GOOGLE_KEY,)})),
    ("request.headers.Authorization", recorded(headers={"Authorization": ("Bearer " + OPENAI_KEY,)})),
    ("request.headers.Authorization", recorded(headers={"Authorization": ("Basic dXNlcjpw",)})),
    ("request.headers.X-Api-Key", recorded(headers={"X-Api-Key": ("REDACTED", "not-redacted-at-all")})),
    ("request.headers.User-Agent", recorded(headers={"User-Agent": (f"me {OPENAI_KEY}",)})),
    (
        "request.headers.Referer",
        recorded(headers={"Referer": ("https://h/?access_token=" + "abcdefghijkl",)}),
    ),
    ("response.headers.Set-Cookie", recorded(answer_headers={"Set-Cookie": ("sid=1",)})),
    (
        "response.headers.Location",
        recorded(answer_headers={"Location": ("https://h/?sig=" + "abcdefghijkl",)}),
    ),
    ("response.body", recorded(answer=b"your key is " + OPENAI_KEY.encode())),
]


@pytest.mark.parametrize(("field", "interaction"), CREDENTIALS)
def test_credential_is_found_in_every_field(field: str, interaction: Interaction) -> None:
    finding = only(verify(written(interaction)))
    assert (finding.kind, finding.field, finding.interaction) == (Kind.CREDENTIAL, field, 0)


@pytest.mark.parametrize(("_field", "interaction"), CREDENTIALS)
@pytest.mark.parametrize("break_layout", [False, True])
def test_no_finding_shows_a_credential(_field: str, interaction: Interaction, break_layout: bool) -> None:
    data = written(interaction)
    if break_layout:
        # Two more spaces on every line that can have them: the line that differs first may be the credential's.
        data = b"\n".join(
            line.replace(b": ", b":  ", 1) if line.startswith(b"    ") else line for line in data.split(b"\n")
        )
        assert any(finding.kind is Kind.LAYOUT for finding in verify(data))
    for finding in verify(data):
        for secret in (
            OPENAI_KEY,
            GOOGLE_KEY,
            "short",
            "pass",
            "hunter2",
            "dXNlcjpw",
            "not-redacted",
            "abcdefgh",
        ):
            assert secret not in finding.message
        for secret in (OPENAI_KEY, GOOGLE_KEY):
            assert secret[:8] not in finding.message


def test_finding_points_at_the_line_of_the_credential() -> None:
    data = written(recorded(), recorded(answer=f"one\ntwo\nthe key: {OPENAI_KEY}\n".encode()))
    finding = only(verify(data))
    assert finding.interaction == 1
    assert finding.line == line_of(data, OPENAI_KEY.encode())


def test_finding_in_binary_points_at_the_interaction() -> None:
    data = written(recorded(), recorded(answer=b"\xff" + OPENAI_KEY.encode()))
    assert only(verify(data)).line == line_of(data, b"- id: 1")


def test_credential_that_fits_two_shapes_is_found_once() -> None:
    key = "sk-" + "ant-" + "api03-" + "a" * 40
    finding = only(verify(written(recorded(body=f"{key} {key}".encode()))))
    assert "anthropic" in finding.message
    assert f"sk-a… ({len(key)} characters)" in finding.message


@pytest.mark.parametrize(
    "interaction",
    [
        recorded(headers={"Authorization": ("REDACTED",), "X-Api-Key": ("",)}),
        recorded(headers={"Authorization": ("Bearer REDACTED",)}),
        recorded(url="https://h/v1?key=REDACTED&alt=sse", form={"key": ("REDACTED",), "alt": ("sse",)}),
        recorded(url="https://h/v1?key=&alt=sse", form={"key": ("",), "alt": ("sse",)}),
        recorded(answer_headers={"Location": ("https://h/?sig=REDACTED",)}),
        recorded(
            body=b"client_secret=REDACTED", headers={"Content-Type": ("application/x-www-form-urlencoded",)}
        ),
        recorded(answer=b'{"max_tokens": 10, "id": "chatcmpl-' + b"a" * 40 + b'"}'),
    ],
)
def test_what_is_redacted_or_harmless_is_no_finding(interaction: Interaction) -> None:
    assert verify(written(interaction)) == ()


def test_exchange_that_did_not_complete_is_a_finding() -> None:
    data = written(replace(recorded(), interrupted="the client left"))
    assert loads(data).interactions[0].interrupted
    finding = only(verify(data))
    assert (finding.kind, finding.field) == (Kind.INTERRUPTED, "interrupted")
    assert "the client left" in finding.message
    assert finding.line == line_of(data, b"interrupted:")


def test_findings_come_in_the_order_of_the_file() -> None:
    data = written(
        recorded(answer=OPENAI_KEY.encode()),
        recorded(),
        recorded(headers={"Authorization": ("Basic dXNlcjpw",)}),
    ).replace(b"- id: 1", b"- id: 5")
    lines = [finding.line or 0 for finding in verify(data)]
    assert len(lines) == 3
    assert lines == sorted(lines)


@pytest.mark.parametrize(
    ("secret", "shown"),
    [
        ("abcdefghijkl", "abcd… (12 characters)"),
        ("abcdefghijk", "… (11 characters)"),
        ("", "… (0 characters)"),
    ],
)
def test_mask_shows_four_characters_of_a_long_one_and_none_of_a_short_one(secret: str, shown: str) -> None:
    assert mask(secret) == shown
