"""Real clients of several ecosystems, with nothing but the variables that `wiretape env` prints, reach the session."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.support.scripts import whole
from tests.support.upstream import Upstream
from tests.support.wiretape import ROOT, Session, Wiretape

PROBES = ROOT / "proxy_cli" / "probes"
URL = "https://api.openai.com/v1/models"
LOGIN = "me:" + "p@ss" * 2


@pytest.fixture(scope="module")
def wiretape(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wiretape]:
    """One daemon and two sessions for this module."""
    with Wiretape(tmp_path_factory.mktemp("env-clients")) as command:
        yield command


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream(whole(200, [], b"ok")) as serving:
        yield serving


@pytest.fixture(scope="module")
def session(wiretape: Wiretape, upstream: Upstream) -> Session:
    return wiretape.start("env-clients", "--mode=passthrough", *upstream.options())


@pytest.fixture(scope="module")
def guarded(wiretape: Wiretape, upstream: Upstream) -> Session:
    options = ["--mode=passthrough", f"--proxy-auth={LOGIN}", *upstream.options()]
    return wiretape.start("env-clients-login", *options)


def tool(name: str) -> str:
    if (found := shutil.which(name)) is None:
        pytest.skip(f"{name} is not installed")
    return found


def ask(
    wiretape: Wiretape, variables: Mapping[str, str], *command: str | Path
) -> subprocess.CompletedProcess[str]:
    environment = {**wiretape.environment, **variables}
    return subprocess.run(
        list(map(str, command)),
        env=environment,
        cwd=wiretape.folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("way", ["fetch", "https", "http2"])
@pytest.mark.parametrize("which", ["session", "guarded"])
def test_node_goes_through_whatever_its_version(
    way: str, which: str, wiretape: Wiretape, request: pytest.FixtureRequest, upstream: Upstream
) -> None:
    node = tool("node")
    variables = request.getfixturevalue(which).variables
    before = len(upstream.received)
    done = ask(wiretape, variables, node, PROBES / "probe.mjs", URL, way)
    assert (done.returncode, done.stdout, done.stderr) == (0, "200\n", done.stderr)
    assert len(upstream.received) == before + 1


@pytest.mark.parametrize("way", ["fetch", "https", "http2"])
def test_node_goes_direct_where_no_proxy_says_so(
    way: str, wiretape: Wiretape, session: Session, upstream: Upstream
) -> None:
    # Direct, the certificate that the server shows is its own, which this client does not trust.
    node = tool("node")
    variables = {**session.variables, "NO_PROXY": "localhost", "no_proxy": "localhost"}
    url = f"https://localhost:{upstream.port}/"
    done = ask(wiretape, variables, node, PROBES / "probe.mjs", url, way)
    assert done.returncode == 1
    assert "certificate" in done.stderr


@pytest.mark.parametrize("way", ["fetch", "https", "http2"])
def test_node_says_that_the_proxy_is_gone(way: str, wiretape: Wiretape, session: Session) -> None:
    node = tool("node")
    gone = dict.fromkeys(("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"), "http://127.0.0.1:9")
    done = ask(wiretape, {**session.variables, **gone}, node, PROBES / "probe.mjs", URL, way)
    assert done.returncode == 1
    assert "ECONNREFUSED" in done.stderr


def test_node_runs_a_program_with_a_proxy_that_is_none(wiretape: Wiretape, session: Session) -> None:
    node = tool("node")
    for proxy in ("nonsense", "socks5://127.0.0.1:1", ""):
        variables = {**session.variables, "HTTPS_PROXY": proxy, "https_proxy": proxy}
        variables.pop("NODE_USE_ENV_PROXY")
        done = ask(wiretape, variables, node, "-e", "console.log('ran')")
        assert (done.returncode, done.stdout) == (0, "ran\n")


def test_sdk_agents_that_want_their_socket_at_once_go_through(wiretape: Wiretape, session: Session) -> None:
    # As agentkeepalive has it, and with it the older SDKs of OpenAI and Anthropic.
    node = tool("node")
    code = f"""
    const https = require('https');
    class Own extends https.Agent {{
      createConnection(options, done) {{
        const socket = super.createConnection(options, done);
        socket.setNoDelay(true);
        return socket;
      }}
    }}
    https.get('{URL}', {{ agent: new Own() }}, (response) => {{
      response.resume();
      console.log(response.statusCode);
    }});
    """
    done = ask(wiretape, session.variables, node, "-e", code)
    assert (done.returncode, done.stdout) == (0, "200\n"), done.stderr


def test_java_goes_through_and_trusts_us_whatever_password_it_has(
    wiretape: Wiretape, session: Session, upstream: Upstream
) -> None:
    java = tool("java")
    before = len(upstream.received)
    password = "-Djavax.net.ssl.trustStorePassword=changeit"
    options = f"{password} {session.variables['JAVA_TOOL_OPTIONS']}"
    variables = {**session.variables, "JAVA_TOOL_OPTIONS": options}
    done = ask(wiretape, variables, java, PROBES / "Probe.java", URL)
    assert (done.returncode, done.stdout) == (0, "200\n"), done.stderr
    assert len(upstream.received) == before + 1


def test_java_cannot_log_in_and_shows_no_password(wiretape: Wiretape, guarded: Session) -> None:
    java = tool("java")
    done = ask(wiretape, guarded.variables, java, PROBES / "Probe.java", URL)
    assert done.stdout == "407\n"
    assert LOGIN.partition(":")[2] not in done.stderr


@pytest.mark.parametrize("which", ["session", "guarded"])
def test_go_goes_through(which: str, wiretape: Wiretape, request: pytest.FixtureRequest) -> None:
    go = tool("go")
    variables = {**request.getfixturevalue(which).variables, "GOTOOLCHAIN": "local", "GOWORK": "off"}
    done = ask(wiretape, variables, go, "run", PROBES / "probe.go", URL)
    assert (done.returncode, done.stdout) == (0, "200\n"), done.stderr


@pytest.mark.parametrize("which", ["session", "guarded"])
def test_python_curl_git_and_perl_go_through(
    which: str, wiretape: Wiretape, request: pytest.FixtureRequest, upstream: Upstream
) -> None:
    variables = request.getfixturevalue(which).variables
    commands: dict[str, list[str | Path]] = {
        "python3": [PROBES / "probe.py", URL],
        "curl": ["-fsS", "-o", "/dev/null", URL],
        "perl": [
            "-MHTTP::Tiny",
            "-e",
            "HTTP::Tiny->new(verify_SSL=>1)->get(shift)->{success} or exit 3",
            URL,
        ],
        # Nothing there is a repository: git asks for /info/refs and says that it is none.
        "git": ["ls-remote", "https://api.openai.com/v1.git"],
    }
    missing = []
    for name, arguments in commands.items():
        if (program := shutil.which(name)) is None or (name == "perl" and not _perl_has_tls(program)):
            missing.append(name)
            continue
        before = len(upstream.received)
        done = ask(wiretape, variables, program, *arguments)
        assert name == "git" or done.returncode == 0, (name, done.stderr)
        assert len(upstream.received) > before, (name, done.stderr)
    if missing:
        pytest.skip(f"the others went through; not installed: {', '.join(missing)}")


def _perl_has_tls(perl: str) -> bool:
    code = "use IO::Socket::SSL; use HTTP::Tiny 0.05"
    return subprocess.run([perl, "-e", code], capture_output=True, check=False).returncode == 0
