from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from proxy_cli.env_options import java_options, node_options

STORE = Path("/state/ca/bundle.p12")


def properties(options: str) -> dict[str, str]:
    pairs = [
        option.removeprefix("-D").partition("=") for option in options.split() if option.startswith("-D")
    ]
    return {name: value for name, _, value in pairs}


@pytest.mark.parametrize(
    ("existing", "expected"),
    [
        ("", "--require=/h/wiretape-node.cjs"),
        ("--no-warnings", "--no-warnings --require=/h/wiretape-node.cjs"),
        ('--require="/a b/x.cjs" -r y', '--require="/a b/x.cjs" -r y --require=/h/wiretape-node.cjs'),
        (
            "--require=/other/wiretape-node.cjs --trace-warnings",
            "--trace-warnings --require=/h/wiretape-node.cjs",
        ),
        ('--require="/o t/wiretape-node.cjs"', "--require=/h/wiretape-node.cjs"),
    ],
)
def test_node_loads_one_preload_behind_what_the_user_loads(existing: str, expected: str) -> None:
    assert node_options(existing, Path("/h/wiretape-node.cjs")) == expected


def test_node_finds_a_preload_in_a_folder_with_spaces_and_quotes(tmp_path: Path) -> None:
    if (node := shutil.which("node")) is None:
        pytest.skip("node is not installed")
    folder = tmp_path / 'a "b" c\\d'
    folder.mkdir()
    preload = folder / "wiretape-node.cjs"
    preload.write_text("console.log('loaded')")
    options = node_options(node_options("--no-warnings", preload), preload)
    done = subprocess.run([node, "-e", ""], env={"NODE_OPTIONS": options}, capture_output=True, check=True)
    assert done.stdout == b"loaded\n"


def test_java_gets_host_and_port_of_the_proxy_without_its_login() -> None:
    options = java_options("", "http://me:secret@127.0.0.1:8080", STORE, [])
    assert properties(options) == {
        "https.proxyHost": "127.0.0.1",
        "https.proxyPort": "8080",
        "http.proxyHost": "127.0.0.1",
        "http.proxyPort": "8080",
        "http.nonProxyHosts": "localhost|127.*|[::1]",
        "javax.net.ssl.trustStore": "/state/ca/bundle.p12",
        "javax.net.ssl.trustStoreType": "PKCS12",
    }


def test_java_keeps_the_users_options_and_has_ours_once() -> None:
    theirs = '-Xmx1g -Dname="a b" -Djavax.net.ssl.trustStore=/corp.jks "-Dhttp.nonProxyHosts=*.corp|x"'
    once = java_options(theirs, "http://127.0.0.1:1", STORE, [])
    twice = java_options(once, "http://127.0.0.1:1", STORE, [])
    assert once == twice
    assert once.startswith('-Xmx1g -Dname="a b" -Dhttps.proxyHost=')
    assert properties(once)["http.nonProxyHosts"] == "localhost|127.*|[::1]|*.corp|x"


def test_java_excepts_what_no_proxy_lists_as_far_as_it_can_say_it() -> None:
    entries = ["corp.example", ".dot.example", "*.star.example", "10.0.0.1", "::1", "a:80", "10.0.0.0/8", ""]
    options = java_options("", "http://127.0.0.1:1", STORE, entries)
    assert properties(options)["http.nonProxyHosts"].split("|")[3:] == [
        "corp.example",
        "*.corp.example",
        "dot.example",
        "*.dot.example",
        "*.star.example",
        "10.0.0.1",
    ]


def test_java_reads_a_path_with_spaces_back() -> None:
    if (java := shutil.which("java")) is None:
        pytest.skip("java is not installed")
    options = java_options("-Dmine='a \"b'", "http://[::1]:8080", Path("/a b/c'd.p12"), [])
    command = [java, "-XshowSettings:properties", "-version"]
    done = subprocess.run(
        command, env={"JAVA_TOOL_OPTIONS": options}, capture_output=True, text=True, check=True
    )
    pairs = (line.strip().partition(" = ") for line in done.stderr.splitlines())
    shown = {name: value for name, _, value in pairs}
    assert shown["javax.net.ssl.trustStore"] == "/a b/c'd.p12"
    assert shown["mine"] == 'a "b'
    assert shown["https.proxyHost"] == "::1"
