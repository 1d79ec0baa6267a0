"""Several sessions in one daemon, and every way in which opening one goes wrong."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.support.golike import GoLikeClient
from tests.support.inprocess import InProcess, shared_daemon
from tests.support.rawclient import Http1, dial, tunnel
from tests.support.recorded import interactions
from tests.support.scripts import Gate, Received, Reply, whole
from tests.support.upstream import HTTP_1_ONLY, Upstream
from tests.support.wiretape import Session

HOST = "api.openai.com"
URL = f"https://{HOST}/v1"
EMPTY = b"---\nversion: 2\ninteractions: []\n"


@pytest.fixture(scope="module")
def wiretape(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    with shared_daemon(tmp_path_factory, "sessions") as command:
        yield command


def _ask(session: Session, path: str = "") -> bytes:
    with GoLikeClient(proxy=session.proxy, ca_file=session.bundle) as client:
        return client.request("GET", URL + path).body


def _refused(wiretape: InProcess, *arguments: str) -> tuple[int, str]:
    """Run a command that has to fail with one line; return its status and the line."""
    done = wiretape.run(*arguments, check=False)
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith("wiretape: ")
    assert done.stdout == b""
    assert done.returncode != 0
    return done.returncode, line.removeprefix("wiretape: ")


def _names(wiretape: InProcess) -> set[str]:
    return {session["name"] for session in wiretape.status()["sessions"]}


def _journals(wiretape: InProcess) -> set[str]:
    return {path.name for path in (wiretape.home / "journals").iterdir()}


def test_sessions_have_each_their_own_port_and_cassette(wiretape: InProcess) -> None:
    with Upstream(whole(200, [], b"ok")) as upstream:
        sessions = [wiretape.open(*upstream.options()) for _ in range(3)]
        for number, session in enumerate(sessions):
            for _ in range(number + 1):
                _ask(session, f"/{number}")
        for session in sessions:
            wiretape.close(session)

    assert len({session.proxy for session in sessions}) == 3
    for number, session in enumerate(sessions):
        recorded = interactions(session.cassette.read_bytes())
        assert [one.url for one in recorded] == [f"{URL}/{number}"] * (number + 1)


def test_stream_goes_on_while_other_sessions_start_and_stop(wiretape: InProcess) -> None:
    gates = [Gate(f"step {number}") for number in range(3)]

    def script(received: Received, reply: Reply) -> None:
        if received.target.endswith("/other"):
            whole(200, [], b"other")(received, reply)
            return
        reply.head(200, [("content-type", "text/event-stream")])
        for number, gate in enumerate(gates):
            reply.data(b"data: %d\n\n" % number)
            gate.wait()
        reply.end()

    with Upstream(script, alpn=HTTP_1_ONLY) as upstream:
        streaming = wiretape.open(*upstream.options())
        client = Http1(tunnel(streaming, HOST))
        client.send(f"GET /v1 HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        client.until(b"data: 0\n\n")
        other = wiretape.open(*upstream.options())
        assert _ask(other, "/other") == b"other"
        gates[0].open()
        client.until(b"data: 1\n\n")
        wiretape.close(other)
        gates[1].open()
        client.until(b"data: 2\n\n")
        gates[2].open()
        client.until(b"0\r\n\r\n")
        client.close()
        wiretape.close(streaming)

    (one,) = interactions(streaming.cassette.read_bytes())
    assert one.response_body == b"data: 0\n\ndata: 1\n\ndata: 2\n\n"
    assert len(interactions(other.cassette.read_bytes())) == 1


def test_name_that_is_taken_is_refused(wiretape: InProcess) -> None:
    session = wiretape.open()
    before = _journals(wiretape)
    other = wiretape.folder / "taken.yaml"
    code, line = _refused(wiretape, "start", session.name, f"--cassette={other}")

    assert (code, f"wiretape stop {session.name}" in line) == (3, True)
    assert not other.exists()
    assert _journals(wiretape) == before
    wiretape.close(session)


def test_cassette_that_another_session_writes_is_refused(wiretape: InProcess) -> None:
    session = wiretape.open()
    link = wiretape.folder / "link.yaml"
    link.symlink_to(session.cassette)
    for path in (session.cassette, link):
        for option in ("--append", "--overwrite"):
            code, line = _refused(wiretape, "start", "other", f"--cassette={path}", option)
            assert (code, session.name in line) == (3, True)
    wiretape.close(session)
    assert session.cassette.read_bytes() == EMPTY


def test_busy_port_is_refused_and_nothing_is_left(wiretape: InProcess) -> None:
    session = wiretape.open()
    before, journals = _names(wiretape), _journals(wiretape)
    cassette = wiretape.folder / "busy.yaml"
    with socket.create_server(("127.0.0.1", 0)) as foreign:
        for port in (session.proxy.rpartition(":")[2], str(foreign.getsockname()[1])):
            code, line = _refused(wiretape, "start", "busy", f"--cassette={cassette}", f"--port={port}")
            assert (code, f"port {port} " in line, "--port" in line) == (3, True, True)
    assert (_names(wiretape), _journals(wiretape), cassette.exists()) == (before, journals, False)
    wiretape.close(session)


def test_existing_cassette_is_refused_appended_to_or_replaced(wiretape: InProcess) -> None:
    with Upstream(whole(200, [], b"ok")) as upstream:
        first = wiretape.open(*upstream.options())
        _ask(first, "/first")
        wiretape.close(first)
        before = first.cassette.read_bytes()

        code, line = _refused(wiretape, "start", "again", f"--cassette={first.cassette}", *upstream.options())
        assert (code, "--append" in line, "--overwrite" in line) == (3, True, True)
        assert first.cassette.read_bytes() == before

        appended = wiretape.open(*upstream.options(), "--append", cassette=first.cassette)
        _ask(appended, "/second")
        summary = wiretape.close(appended)
        text = first.cassette.read_bytes()
        assert text.startswith(before)
        assert [item["id"] for item in yaml.safe_load(text)["interactions"]] == [0, 1]
        assert summary["interactions"] == 1

        replaced = wiretape.open(*upstream.options(), "--overwrite", cassette=first.cassette)
        assert first.cassette.read_bytes() == EMPTY
        _ask(replaced, "/third")
        wiretape.close(replaced)

    (item,) = yaml.safe_load(first.cassette.read_bytes())["interactions"]
    assert (item["id"], item["request"]["url"]) == (0, f"{URL}/third")


def test_append_and_overwrite_together_are_refused(wiretape: InProcess) -> None:
    done = wiretape.run("start", "both", "--append", "--overwrite", check=False)
    assert done.returncode == 2
    assert b"choose one" in done.stderr


@pytest.mark.parametrize("text", [b"not: [a cassette", b"version: 1\ninteractions: []\n", b"hello\n"])
def test_file_that_is_no_cassette_is_never_touched(text: bytes, wiretape: InProcess) -> None:
    path = wiretape.folder / "foreign.yaml"
    path.write_bytes(text)
    for option in ([], ["--append"]):
        code, line = _refused(wiretape, "start", "foreign", f"--cassette={path}", *option)
        assert (code, str(path) in line) == (3, True)
    assert path.read_bytes() == text
    assert "foreign" not in _names(wiretape)


def test_path_that_cannot_be_written_is_refused(wiretape: InProcess) -> None:
    # Not by its mode: a test may run as root, whom no mode stops.
    file = wiretape.folder / "a-file"
    file.write_text("text")
    folder = wiretape.folder / "a-folder.yaml"
    folder.mkdir()
    dangling = wiretape.folder / "dangling.yaml"
    dangling.symlink_to(wiretape.folder / "nowhere" / "at-all.yaml")
    for path in (file / "x.yaml", folder, dangling):
        code, line = _refused(wiretape, "start", "unwritable", f"--cassette={path}")
        assert (code, str(path.name) in line or str(file) in line) == (3, True)
    assert "unwritable" not in _names(wiretape)


@pytest.mark.parametrize(
    ("option", "word"),
    [
        ("--host=https://x", "https://"),
        ("--host=llm.example.com/v1", "/v1"),
        ("--host=*", "*"),
        ("--connect-to=api.openai.com:443", "four parts"),
        ("--upstream-proxy=socks5://127.0.0.1:1", "socks5"),
        ("--upstream-ca=no-such.pem", "no-such.pem"),
        ("--mode=replay", "record-only"),
        ("--host-field=both", "empty"),
        ("--config=no-such.yaml", "no-such.yaml"),
    ],
)
def test_wrong_option_is_refused_with_a_right_example(option: str, word: str, wiretape: InProcess) -> None:
    before = _names(wiretape)
    code, line = _refused(wiretape, "start", "wrong", option)
    assert (code, word in line) == (2, True)
    assert _names(wiretape) == before


def test_pattern_that_covers_no_router_is_refused(wiretape: InProcess) -> None:
    config = wiretape.folder / "typo.yaml"
    config.write_text("headers: {hosts: {api.opena1.com: {request: {keep: [X-Mine]}}}}\n")
    code, line = _refused(wiretape, "start", "typo", f"--config={config}")
    assert code == 2
    assert all(word in line for word in ("typo.yaml", "headers.hosts.api.opena1.com", "api.openai.com"))


@pytest.mark.parametrize("name", ["a/b", "../up", "-x", "a b", "x" * 65])
def test_name_that_cannot_be_is_refused(name: str, wiretape: InProcess) -> None:
    cassette = wiretape.folder / "name.yaml"
    code, _ = _refused(wiretape, "start", f"--cassette={cassette}", "--", name)
    assert (code, cassette.exists()) == (2, False)


def test_stop_and_env_without_a_name_ask_which(wiretape: InProcess) -> None:
    one, two = wiretape.open(), wiretape.open()
    for command in ("stop", "env"):
        code, line = _refused(wiretape, command)
        assert (code, one.name in line, two.name in line) == (4, True, True)
        code, line = _refused(wiretape, command, "nobody")
        assert (code, "'nobody'" in line) == (4, True)
    said = wiretape.run("stop", "--all").stdout.decode()
    assert said.count("0 interactions in") == 2
    assert _names(wiretape) == set()
    assert _refused(wiretape, "stop")[1] == "no session is open; open one: wiretape start"


def test_port_is_free_again_after_the_end(wiretape: InProcess) -> None:
    first = wiretape.open()
    port = first.proxy.rpartition(":")[2]
    dial(first).close()
    wiretape.close(first)
    again = wiretape.open(f"--port={port}")
    assert again.proxy == first.proxy
    wiretape.close(again)


def test_cassette_goes_to_its_default_place(wiretape: InProcess) -> None:
    said = wiretape.run("start", "chat").stdout.decode()
    wiretape.run("stop", "chat")
    assert "recording to cassettes/chat.yaml" in said
    assert (wiretape.folder / Path("cassettes/chat.yaml")).read_bytes() == EMPTY
