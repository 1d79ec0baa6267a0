from __future__ import annotations

import json
from pathlib import Path

import pytest

from cassette.errors import StoreError
from cassette.headerfilter import HeaderPolicy, HeaderRules
from cassette.model import Layout
from cassette.recording import Recording
from cassette.wire import HostField, WireRules

POLICY = HeaderPolicy(
    HeaderRules(keep=("accept",), drop=("x-*",), replace=(("a", "b"),)),
    HeaderRules(keep=("content-type",), redact=("etag",)),
    (("*.example.com:8443", HeaderRules(unsafe_keep=("x-key",)), HeaderRules()),),
)
ODD_PATH = Path("/cassettes/caf\u00e9 \udcff.yaml")


def a_recording() -> Recording:
    return Recording("chat", ODD_PATH, Layout.GO_VCR, HostField.URL, POLICY, 12345, keep_timing=True)


def test_it_is_read_as_it_was_saved(tmp_path: Path) -> None:
    a_recording().save(tmp_path)

    assert Recording.read(tmp_path) == a_recording()


def test_only_its_user_can_read_it(tmp_path: Path) -> None:
    a_recording().save(tmp_path)

    assert (tmp_path / "session.json").stat().st_mode & 0o777 == 0o600


def test_the_rules_are_what_the_user_chose() -> None:
    assert a_recording().rules == WireRules(HostField.URL, POLICY, 12345)


def test_one_that_is_missing_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"session\.json: cannot read: No such file"):
        Recording.read(tmp_path)


def test_one_of_an_older_version_keeps_no_times() -> None:
    values = a_recording().to_json()
    del values["keep_timing"]

    assert not Recording.from_json(values).keep_timing


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b"{}", b'{"name": 1}', b"\xff", b'"text"'],
)
def test_one_that_is_broken_is_an_error_of_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "session.json").write_bytes(content)

    with pytest.raises(StoreError, match="is not a session's description") as caught:
        Recording.read(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("field", ["headers", "layout", "host_field", "cassette", "max_body"])
def test_a_field_of_the_wrong_kind_is_an_error(tmp_path: Path, field: str) -> None:
    values = a_recording().to_json()
    del values[field]
    if field in {"headers", "layout"}:
        values[field] = ["no"]
    (tmp_path / "session.json").write_text(json.dumps(values))

    with pytest.raises(StoreError, match="is not a session's description"):
        Recording.read(tmp_path)
