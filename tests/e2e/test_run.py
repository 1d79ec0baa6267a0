"""`wiretape run`: the command's status, its signals, what is said at the end, and what happens when we die."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.support.recorded import interactions
from tests.support.scripts import whole
from tests.support.upstream import Upstream
from tests.support.waiting import until
from tests.support.wiretape import Wiretape, command_line

# Plain sockets: whatever is installed, and no proxy variable but the one that `run` sets.
_CLIENT = """
import os, socket, ssl
proxy = os.environ["HTTPS_PROXY"].removeprefix("http://").split(":")
sock = socket.create_connection((proxy[0], int(proxy[1])))
sock.sendall(b"CONNECT {host}:443 HTTP/1.1\\r\\nHost: {host}:443\\r\\n\\r\\n")
while not sock.recv(4096).endswith(b"\\r\\n\\r\\n"):
    pass
context = ssl.create_default_context(cafile={ca})
with context.wrap_socket(sock, server_hostname="{host}") as tls:
    tls.sendall(b"GET /v1 HTTP/1.1\\r\\nHost: {host}\\r\\nConnection: close\\r\\n\\r\\n")
    while tls.recv(4096):
        pass
"""


@pytest.fixture(scope="module")
def wiretape(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wiretape]:
    """One daemon for this module, kept by a session that nothing uses."""
    with Wiretape(tmp_path_factory.mktemp("run")) as command:
        command.run("start", "keeper")
        yield command


def _python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def _run(
    wiretape: Wiretape, cassette: str, *command: str, options: list[str] | None = None
) -> tuple[int, str]:
    path = wiretape.folder / cassette
    arguments = ["run", f"--cassette={path}", *(options or []), "--", *command]
    done = wiretape.run(*arguments, check=False)
    return done.returncode, done.stderr.decode()


@pytest.mark.parametrize("status", [0, 3, 255])
def test_status_of_the_command_is_passed_on(status: int, wiretape: Wiretape) -> None:
    code, _ = _run(wiretape, f"status-{status}.yaml", *_python(f"raise SystemExit({status})"))
    assert code == status


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_command_that_a_signal_ended_gives_128_and_its_number(
    number: signal.Signals, wiretape: Wiretape
) -> None:
    code, _ = _run(wiretape, f"{number.name}.yaml", *_python(f"import os; os.kill(os.getpid(), {number})"))
    assert code == 128 + number


def _script(wiretape: Wiretape, name: str, text: bytes, mode: int) -> str:
    path = wiretape.folder / name
    path.write_bytes(text)
    path.chmod(mode)
    return str(path)


def test_command_that_cannot_be_run_gives_what_shells_give(wiretape: Wiretape) -> None:
    not_executable = _script(wiretape, "plain.txt", b"text", 0o600)
    no_interpreter = _script(wiretape, "lost", b"#!/no/such/interpreter\n", 0o700)
    no_program = _script(wiretape, "noise", bytes(range(256)), 0o700)
    expected = {
        "no-such-command-at-all": 127,
        str(wiretape.folder / "nowhere"): 127,
        not_executable: 126,
        str(wiretape.folder): 126,
        no_interpreter: 126,
        no_program: 126,
    }
    for command, status in expected.items():
        code, said = _run(wiretape, "never.yaml", command)
        assert (command, code) == (command, status)
        assert said.startswith("wiretape: ")
        assert "Traceback" not in said
        (wiretape.folder / "never.yaml").unlink(missing_ok=True)
    assert [session["name"] for session in wiretape.status()["sessions"]] == ["keeper"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signal_reaches_the_command_and_the_session_is_closed(
    number: signal.Signals, wiretape: Wiretape
) -> None:
    cassette = wiretape.folder / f"to-command-{number.name}.yaml"
    ready = wiretape.folder / f"ready-{number.name}"
    code = (
        "import pathlib, signal, sys\n"
        f"signal.signal({int(number)}, lambda *_: sys.exit(7))\n"
        f"pathlib.Path({str(ready)!r}).touch()\n"
        "while True: signal.pause()\n"
    )
    with wiretape.popen("run", f"--cassette={cassette}", "--", *_python(code)) as run:
        until("the command to be ready", ready.exists)
        run.send_signal(number)
        assert run.wait(60) == 7
    assert [session["name"] for session in wiretape.status()["sessions"]] == ["keeper"]


def test_interrupt_from_the_terminal_leaves_the_session_to_be_closed(wiretape: Wiretape) -> None:
    cassette = wiretape.folder / "interrupt.yaml"
    ready = wiretape.folder / "ready-interrupt"
    code = (
        "import pathlib, signal, sys\n"
        "signal.signal(signal.SIGINT, lambda *_: sys.exit(9))\n"
        f"pathlib.Path({str(ready)!r}).touch()\n"
        "while True: signal.pause()\n"
    )
    arguments = [*command_line(), "run", f"--cassette={cassette}", "--", *_python(code)]
    with subprocess.Popen(arguments, env=wiretape.environment, start_new_session=True) as run:
        until("the command to be ready", ready.exists)
        os.killpg(run.pid, signal.SIGINT)  # as a terminal does
        assert run.wait(60) == 9
    assert [session["name"] for session in wiretape.status()["sessions"]] == ["keeper"]


def test_killed_run_has_its_session_closed_by_the_daemon(wiretape: Wiretape) -> None:
    cassette = wiretape.folder / "killed.yaml"
    ready = wiretape.folder / "ready-killed"
    go_on = wiretape.folder / "go-on"
    code = (
        "import pathlib, time\n"
        f"pathlib.Path({str(ready)!r}).touch()\n"
        f"while not pathlib.Path({str(go_on)!r}).exists(): time.sleep(0.02)\n"
    )
    with wiretape.popen("run", f"--cassette={cassette}", "--", *_python(code)) as run:
        until("the command to be ready", ready.exists)
        run.kill()
        run.wait(60)
        until(
            "the session to be closed",
            lambda: [session["name"] for session in wiretape.status()["sessions"]] == ["keeper"],
        )
        go_on.touch()
    assert "session.orphaned" in (wiretape.home / "daemon.log").read_text()
    assert cassette.read_bytes() == b"---\nversion: 2\ninteractions: []\n"


def _client_for(host: str, ca: str) -> list[str]:
    return _python(_CLIENT.replace("{host}", host).replace("{ca}", ca))


def test_summary_is_told_on_standard_error(wiretape: Wiretape) -> None:
    with Upstream(whole(200, [], b"ok")) as upstream:
        code, said = _run(
            wiretape,
            "summary.yaml",
            *_client_for("api.openai.com", 'os.environ["SSL_CERT_FILE"]'),
            options=upstream.options(),
        )
    assert code == 0, said
    assert ": 1 interaction in summary.yaml\n" in said
    assert "nothing came" not in said
    assert len(interactions((wiretape.folder / "summary.yaml").read_bytes())) == 1


def test_hint_is_given_when_nothing_came_through(wiretape: Wiretape) -> None:
    code, said = _run(wiretape, "silent.yaml", "true")
    assert code == 0
    assert "nothing came through the proxy; does the command honour HTTPS_PROXY?" in said


def test_hint_names_host_when_only_other_hosts_were_reached(wiretape: Wiretape) -> None:
    with Upstream(whole(200, [], b"ok")) as upstream:
        client = _client_for("www.example.com", repr(str(upstream.ca_file)))
        code, said = _run(wiretape, "others.yaml", *client, options=upstream.options())
    assert code == 0, said
    assert "add them with --host" in said


def test_existing_cassette_is_refused_before_the_command_runs(wiretape: Wiretape) -> None:
    cassette = wiretape.folder / "mine.yaml"
    cassette.write_bytes(b"precious")
    proof = wiretape.folder / "proof"
    code, said = _run(wiretape, "mine.yaml", "touch", str(proof))
    assert (code, cassette.read_bytes(), proof.exists()) == (3, b"precious", False)
    assert said.startswith("wiretape: ")
    assert len(said.splitlines()) == 1


def test_two_runs_at_once_have_sessions_of_their_own(wiretape: Wiretape) -> None:
    ready = [wiretape.folder / f"both-{number}" for number in (0, 1)]

    def code(number: int) -> str:
        return (
            "import pathlib, time\n"
            f"pathlib.Path({str(ready[number])!r}).touch()\n"
            f"while not pathlib.Path({str(ready[1 - number])!r}).exists(): time.sleep(0.02)\n"
        )

    runs = [
        wiretape.popen("run", f"--cassette={wiretape.folder}/both{number}.yaml", "--", *_python(code(number)))
        for number in (0, 1)
    ]
    for run in runs:
        with run:
            assert run.wait(60) == 0


def test_output_and_input_of_the_command_are_its_own(wiretape: Wiretape) -> None:
    cassette = wiretape.folder / "pipes.yaml"
    done = wiretape.run("run", f"--cassette={cassette}", "--", "cat", stdin=b"through and through\n")
    assert done.stdout == b"through and through\n"
