from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from proxy_cli.ca import ca_paths
from proxy_cli.environment import (
    ROOT_VARIABLES,
    Shell,
    client_environment,
    detect_shell,
    format_environment,
    format_removal,
    parent_name,
)

CA = ca_paths(Path("/state"))
BUNDLE, CERTIFICATE = str(CA.bundle), str(CA.certificate)
HOSTILE = {
    "SPACES": " a  b ",
    "QUOTES": "it's \"quoted\" `and` \\ back\\'slashed",
    "DOLLAR": "$HOME ${HOME} $(touch never) %PATH% !!",
    "NEWLINES": "one\ntwo\n\nend\n",
    "EMPTY": "",
    "SIGNS": "*?[a]{b,c}~#;&|<>()=",
    "WIDE": "naïve “quotes” \u2018single\u2019 🦜",
}


def environment(env: dict[str, str]) -> dict[str, str]:
    return client_environment("http://127.0.0.1:8080", CA, env, "main")


@pytest.mark.parametrize("name", ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"])
def test_both_cases_of_the_proxy_variables_are_set(name: str) -> None:
    variables = environment({})
    assert variables[name] == variables[name.lower()] == "http://127.0.0.1:8080"


def test_variables_that_replace_roots_get_the_bundle() -> None:
    variables = environment({})
    bundled = {name for name, value in variables.items() if value == BUNDLE}
    assert bundled == {
        "SSL_CERT_FILE",
        "REQUESTS_CA_BUNDLE",
        "CURL_CA_BUNDLE",
        "AWS_CA_BUNDLE",
        "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
        "GIT_SSL_CAINFO",
        "CARGO_HTTP_CAINFO",
        "DENO_CERT",
        "CODEX_CA_CERTIFICATE",
        "PERL_LWP_SSL_CA_FILE",
    }


def test_node_is_told_to_use_the_proxy_and_adds_our_ca_alone() -> None:
    variables = environment({})
    assert variables["NODE_USE_ENV_PROXY"] == "1"
    assert variables["NODE_EXTRA_CA_CERTS"] == CERTIFICATE


def test_node_gets_the_bundle_when_the_user_had_roots_to_add() -> None:
    assert environment({"NODE_EXTRA_CA_CERTS": "/corporate.pem"})["NODE_EXTRA_CA_CERTS"] == BUNDLE
    assert environment({"NODE_EXTRA_CA_CERTS": CERTIFICATE})["NODE_EXTRA_CA_CERTS"] == CERTIFICATE
    assert environment({"NODE_EXTRA_CA_CERTS": BUNDLE})["NODE_EXTRA_CA_CERTS"] == BUNDLE


def test_rarer_variables_are_changed_only_where_the_user_has_them() -> None:
    assert "NIX_SSL_CERT_FILE" not in environment({})
    assert environment({"NIX_SSL_CERT_FILE": "/nix.pem"})["NIX_SSL_CERT_FILE"] == BUNDLE
    assert "grpc_proxy" not in environment({})
    assert environment({"grpc_proxy": "http://corp:3128"})["grpc_proxy"] == "http://127.0.0.1:8080"


def test_variables_set_within_a_shell_that_has_them_are_the_same() -> None:
    theirs = {"NO_PROXY": "a", "NODE_OPTIONS": "--no-warnings", "JAVA_TOOL_OPTIONS": "-Xmx1g"}
    once = environment(theirs)
    assert environment(theirs | once) == once
    assert once["NODE_OPTIONS"] == f"--no-warnings --require={CA.node_preload}"


@pytest.mark.parametrize(
    ("shell", "text"),
    [
        (Shell.SH, "export A='b c'\nunset D\n"),
        (Shell.FISH, "set -gx A 'b c'\nset -e D\n"),
        (Shell.POWERSHELL, "$env:A = 'b c'\nRemove-Item -ErrorAction Ignore Env:D\n"),
    ],
)
def test_variables_are_put_back_or_removed(shell: Shell, text: str) -> None:
    assert format_removal({"A": "b c", "D": None}, shell) == text


def test_every_variable_of_roots_that_the_user_has_is_ours_afterwards() -> None:
    theirs = dict.fromkeys(ROOT_VARIABLES, "/corporate.pem")
    assert "/corporate.pem" not in (theirs | environment(theirs)).values()


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({"NO_PROXY": "a,b"}, "a,b"),
        ({"no_proxy": "a, b"}, "a,b"),
        ({"NO_PROXY": "a,b", "no_proxy": "b,c"}, "a,b,c"),
    ],
)
def test_exceptions_are_kept_and_both_cases_merged(env: dict[str, str], expected: str) -> None:
    variables = environment(env)
    assert variables["NO_PROXY"] == variables["no_proxy"] == expected


def test_exceptions_are_not_invented() -> None:
    assert not {"NO_PROXY", "no_proxy"} & environment({}).keys()


def test_the_session_is_named() -> None:
    assert environment({})["WIRETAPE_SESSION"] == "main"


def test_folders_of_roots_are_left_to_the_client() -> None:
    assert "SSL_CERT_DIR" not in environment({"SSL_CERT_DIR": "/corporate"})


@pytest.mark.parametrize("program", ["sh", "bash", "dash", "zsh"])
def test_a_shell_reads_back_hostile_values_unchanged(program: str, tmp_path: Path) -> None:
    if not (path := shutil.which(program)):
        pytest.skip(f"{program} is not installed")
    script = (
        'eval "$1"; for name in ' + " ".join(HOSTILE) + '; do eval "printf \'%s\\0\' \\"\\$$name\\""; done'
    )
    text = format_environment(HOSTILE, Shell.SH)
    done = subprocess.run([path, "-c", script, program, text], cwd=tmp_path, capture_output=True, check=True)
    assert done.stdout.decode().split("\0")[:-1] == list(HOSTILE.values())
    assert not any(tmp_path.iterdir())


def test_fish_reads_back_hostile_values_unchanged(tmp_path: Path) -> None:
    if not (path := shutil.which("fish")):
        pytest.skip("fish is not installed")
    script = "source; for name in " + " ".join(HOSTILE) + "; printf '%s\\0' $$name; end"
    text = format_environment(HOSTILE, Shell.FISH).encode()
    done = subprocess.run([path, "-c", script], input=text, cwd=tmp_path, capture_output=True, check=True)
    assert done.stdout.decode().split("\0")[:-1] == list(HOSTILE.values())


def test_powershell_reads_back_hostile_values_unchanged(tmp_path: Path) -> None:
    if not (path := shutil.which("pwsh")):
        pytest.skip("PowerShell is not installed")
    script = format_environment(HOSTILE, Shell.POWERSHELL) + "".join(
        f"[Console]::Out.Write($env:{name} + [char]0)\n" for name in HOSTILE
    )
    done = subprocess.run(
        [path, "-NoProfile", "-Command", script], cwd=tmp_path, capture_output=True, check=True
    )
    assert done.stdout.decode().split("\0")[:-1] == list(HOSTILE.values())


def test_fish_escapes_backslashes_and_single_quotes() -> None:
    assert format_environment({"A": r"it's \n $x"}, Shell.FISH) == "set -gx A 'it\\'s \\\\n $x'\n"


def test_powershell_doubles_plain_and_typographic_single_quotes() -> None:
    text = format_environment({"A": "a'b\u2018c\u2019d $x"}, Shell.POWERSHELL)
    assert text == "$env:A = 'a''b\u2018\u2018c\u2019\u2019d $x'\n"


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("http://127.0.0.1:8080", "A=http://127.0.0.1:8080"),
        ("/a path/$x #1", "A='/a path/$x #1'"),
        ('it\'s\n"two" \\n', r'A="it' + "'" + r's\n\"two\" \\n"'),
        (r"C:\new folder", r"A='C:\new folder'"),
        (r"ends in \ ".strip(), r'A="ends in \\"'),
        ("", "A="),
    ],
)
def test_dotenv_quotes_only_what_needs_it(value: str, line: str) -> None:
    assert format_environment({"A": value}, Shell.DOTENV) == f"{line}\n"


def test_json_is_one_object_in_ascii() -> None:
    text = format_environment(HOSTILE, Shell.JSON)
    assert json.loads(text) == HOSTILE
    assert text.isascii()


@pytest.mark.parametrize(
    ("env", "parent", "shell"),
    [
        ({}, "", Shell.SH),
        ({"SHELL": "/bin/zsh"}, "", Shell.SH),
        ({"SHELL": "/usr/bin/fish"}, "", Shell.FISH),
        ({"SHELL": "/usr/bin/pwsh"}, "", Shell.POWERSHELL),
        ({"SHELL": "/bin/bash"}, "fish", Shell.FISH),
        ({"SHELL": "/usr/bin/fish"}, "uv", Shell.FISH),
        ({"SHELL": "/usr/bin/tcsh"}, "", Shell.SH),
    ],
)
def test_the_shell_is_guessed_from_the_caller_and_then_from_the_login_shell(
    env: dict[str, str], parent: str, shell: Shell
) -> None:
    assert detect_shell(env, parent) is shell


def test_a_bash_script_of_a_fish_user_gets_what_bash_reads() -> None:
    assert detect_shell({"SHELL": "/usr/bin/fish"}, "bash") is Shell.SH


def test_the_name_of_a_process_is_known_or_empty() -> None:
    assert parent_name(os.getpid()) or not Path("/proc").exists()
    assert parent_name(0) == ""
