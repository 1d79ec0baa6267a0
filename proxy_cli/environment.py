"""The variables that make a client use the proxy and trust it, and how each shell writes them.

Which client reads what was measured (Python, Node, Bun, Deno, Go, Rust, Java, curl, git and the SDKs on
them); three facts shape the list: most settings *replace* a client's roots, so they get the combined
bundle; some programs read only the lower-case proxy variables (grpcio, and curl for http://), others
only the upper-case ones, so both are set; Node uses neither unless NODE_USE_ENV_PROXY says so, and Java none at all
(`proxy_cli.env_options` has what those two are told).
"""

from __future__ import annotations

import enum
import json
import re
import shlex
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from proxy_cli.env_options import java_options, node_options
from proxy_cli.outer_proxy import listener_variable

if TYPE_CHECKING:
    from proxy_cli.ca import CaPaths

SESSION_VARIABLE = "WIRETAPE_SESSION"
"""Tells a client (and `wiretape` itself, inside `wiretape run`) which session it belongs to."""

_PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")

_BUNDLE_VARIABLES = (
    "SSL_CERT_FILE",  # OpenSSL and all on it, httpx, Go, rustls-native-certs, Bun, Ruby
    "REQUESTS_CA_BUNDLE",  # requests
    "CURL_CA_BUNDLE",  # curl, requests
    "AWS_CA_BUNDLE",  # botocore
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",  # grpc
    "GIT_SSL_CAINFO",  # git with GnuTLS
    "CARGO_HTTP_CAINFO",  # cargo
    "DENO_CERT",  # Deno; adds rather than replaces
    "CODEX_CA_CERTIFICATE",  # Codex CLI, where it goes before SSL_CERT_FILE
    "PERL_LWP_SSL_CA_FILE",  # Perl's LWP, which else has roots of its own (Mozilla::CA)
)

# They go before SSL_CERT_FILE or REQUESTS_CA_BUNDLE in OpenSSL as Nix builds it, httplib2, pip, npm and gcloud; nobody
# else reads them, so they are changed where the user has set them and not added elsewhere.
_FOLLOWED_VARIABLES = (
    "NIX_SSL_CERT_FILE",
    "HTTPLIB2_CA_CERTS",
    "PIP_CERT",
    "npm_config_cafile",
    "NPM_CONFIG_CAFILE",
    "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE",
)

# The same for proxies: each goes before HTTPS_PROXY in the one program that reads it.
_FOLLOWED_PROXIES = (
    "grpc_proxy",
    "npm_config_proxy",
    "npm_config_https_proxy",
    "NPM_CONFIG_PROXY",
    "NPM_CONFIG_HTTPS_PROXY",
    "PIP_PROXY",
    "CARGO_HTTP_PROXY",
    "GLOBAL_AGENT_HTTP_PROXY",
    "GLOBAL_AGENT_HTTPS_PROXY",
    "WS_PROXY",
    "WSS_PROXY",
    "ws_proxy",
    "wss_proxy",
)

_ADDED_ROOTS = "NODE_EXTRA_CA_CERTS"
"""Node, Bun, Deno and Claude Code add what is in this file to their own roots."""

ROOT_VARIABLES = (*_BUNDLE_VARIABLES, *_FOLLOWED_VARIABLES, _ADDED_ROOTS)
"""Every variable that may already name a file of roots which the user wants trusted."""


class Shell(enum.Enum):
    """A way to write variables down."""

    SH = "sh"
    FISH = "fish"
    POWERSHELL = "powershell"
    DOTENV = "dotenv"
    JSON = "json"


def client_environment(proxy: str, ca: CaPaths, env: Mapping[str, str], session: str) -> dict[str, str]:
    """Return the variables to add to `env` for a client of the session whose listener is at the URL `proxy`.

    `ca` is that of `proxy_cli.trust.client_ca(home, env)`, whose bundle has the roots named in `env` too.
    NO_PROXY stays as the user has it, in both cases; a host listed there is not recorded. SSL_CERT_DIR
    is not touched: OpenSSL and Go read it besides SSL_CERT_FILE.
    """
    bundle = str(ca.bundle)
    variables = {SESSION_VARIABLE: session, **listener_variable(proxy)}
    for name in _PROXY_VARIABLES:
        variables[name] = variables[name.lower()] = proxy
    exceptions = _merged_no_proxy(env)
    if exceptions:
        variables["NO_PROXY"] = variables["no_proxy"] = exceptions
    variables.update(dict.fromkeys(_BUNDLE_VARIABLES, bundle))
    variables.update((name, bundle) for name in _FOLLOWED_VARIABLES if env.get(name))
    # One certificate when it is enough: a client adds it to 150 roots of its own at every start.
    has_own_roots = env.get(_ADDED_ROOTS, "") not in {"", str(ca.certificate)}
    variables[_ADDED_ROOTS] = bundle if has_own_roots else str(ca.certificate)
    variables.update((name, proxy) for name in _FOLLOWED_PROXIES if env.get(name))
    variables["PERL_LWP_ENV_PROXY"] = "1"
    variables["NODE_USE_ENV_PROXY"] = "1"
    variables["NODE_OPTIONS"] = node_options(env.get("NODE_OPTIONS", ""), ca.node_preload)
    variables["JAVA_TOOL_OPTIONS"] = java_options(
        env.get("JAVA_TOOL_OPTIONS", ""), proxy, ca.java_store, exceptions.split(",")
    )
    return variables


def format_environment(variables: Mapping[str, str], shell: Shell) -> str:
    """Write variables so that the shell (or the reader) gets exactly their values, whatever is in them.

    How it is meant to be read: `eval "$(...)"` (sh), `... | source` (fish),
    `... | Out-String | Invoke-Expression` (powershell), a file for python-dotenv, Node's or Compose's
    `env_file` (dotenv), one object (json). Ends with a line feed. Only dotenv cannot keep the promise for
    every reader: a value with a line break, a `'` or two backslashes is in double quotes with escapes,
    which Node reads differently, and python-dotenv replaces `${NAME}` in any value.
    """
    if shell is Shell.JSON:
        return json.dumps(dict(variables), indent=2) + "\n"
    return "".join(_assignment(name, value, shell) + "\n" for name, value in variables.items())


def format_removal(before: Mapping[str, str | None], shell: Shell) -> str:
    """Write the commands of a shell that set variables again, or remove those whose value is None."""
    remove = {Shell.FISH: "set -e {}", Shell.POWERSHELL: "Remove-Item -ErrorAction Ignore Env:{}"}
    return "".join(
        (remove.get(shell, "unset {}").format(name) if value is None else _assignment(name, value, shell))
        + "\n"
        for name, value in before.items()
    )


def detect_shell(env: Mapping[str, str], parent: str = "") -> Shell:
    """Guess what the caller of `wiretape env` reads; sh when nothing speaks for another.

    `parent` is the name of the process that started us (see `parent_name`), "" when unknown. It goes
    before SHELL, which names the user's login shell and is the same inside a bash script.
    """
    for name in (parent, PurePath(env.get("SHELL", "")).name):
        if name in {"sh", "bash", "dash", "zsh", "ksh", "ash", "busybox"}:
            return Shell.SH
        if name == "fish":
            return Shell.FISH
        if name in {"pwsh", "powershell"}:
            return Shell.POWERSHELL
    return Shell.SH


def parent_name(parent_pid: int) -> str:
    """Return the name of a process, "" where there is no /proc to ask (macOS)."""
    try:
        return Path(f"/proc/{parent_pid}/comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _merged_no_proxy(env: Mapping[str, str]) -> str:
    """Join NO_PROXY and no_proxy, each entry once: programs differ in which of the two they read."""
    entries: dict[str, None] = {}
    for name in ("NO_PROXY", "no_proxy"):
        entries.update((entry.strip(), None) for entry in env.get(name, "").split(",") if entry.strip())
    return ",".join(entries)


def _assignment(name: str, value: str, shell: Shell) -> str:
    match shell:
        case Shell.FISH:
            # Between single quotes fish knows two escapes, \\ and \'.
            escaped = value.replace("\\", "\\\\").replace("'", "\\'")
            return f"set -gx {name} '{escaped}'"
        case Shell.POWERSHELL:
            # PowerShell takes four typographic quotes for the plain one, and a doubled one for itself.
            doubled = re.sub("(['\u2018-\u201b])", r"\1\1", value)
            return f"$env:{name} = '{doubled}'"
        case Shell.DOTENV:
            return f"{name}={_dotenv_value(value)}"
        case _:
            return f"export {name}={shlex.quote(value)}"


def _dotenv_value(value: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9_./:,@%+=-]*", value):
        return value
    # Between single quotes python-dotenv takes a backslash away before another one and before a quote.
    if not re.search(r"['\r\n]|\\\\|\\$", value):
        return f"'{value}'"
    escapes = {"\\": r"\\", '"': r"\"", "\n": r"\n", "\r": r"\r"}
    return '"' + "".join(escapes.get(character, character) for character in value) + '"'
