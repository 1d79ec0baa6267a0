"""The variables of `wiretape env` for what is no shell: a GitHub workflow, and `docker run`. Pure."""

from __future__ import annotations

import ipaddress
import secrets
import shlex
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from proxy_cli.ca import BUNDLE_FILE, CERTIFICATE_FILE, CaPaths

HOST_NAME = "host.docker.internal"
"""What Docker Desktop calls the machine; on Linux `--add-host` gives it the name."""

CONTAINER_FOLDER = "/etc/wiretape"

_NOT_IN_GITHUB = frozenset({"NODE_OPTIONS"})
"""Refused by GitHub's runner with an error (actions/runner, FileCommandManager.cs: SetEnvFileCommand)."""


def github_lines(variables: Mapping[str, str]) -> str:
    """Return what is to be appended to the file that GITHUB_ENV names.

    A value of several lines stands between two lines with a word that nobody can guess, so that no value can end early
    and set other variables (docs.github.com, Workflow commands: Multiline strings).
    """
    lines = []
    for name, value in variables.items():
        if name in _NOT_IN_GITHUB:
            continue
        if "\n" in value or "\r" in value:
            delimiter = f"wiretape_{secrets.token_hex(16)}"
            lines.append(f"{name}<<{delimiter}\n{value}\n{delimiter}\n")
        else:
            lines.append(f"{name}={value}\n")
    return "".join(lines)


def github_masks(proxy: str) -> list[str]:
    """Return the commands that keep the proxy's password out of a workflow's log, for the step's output."""
    password = urlsplit(proxy).password
    if password is None:
        return []
    forms = dict.fromkeys([unquote(password), password])  # as it is, and as it stands in URLs
    return [f"::add-mask::{form.replace('%', '%25')}" for form in forms]


def docker_paths() -> CaPaths:
    """Return where the files for clients lie inside a container. The key is not among them."""
    folder = Path(CONTAINER_FOLDER)
    return CaPaths(
        directory=folder,
        certificate=folder / CERTIFICATE_FILE,
        key_file=folder / "none",
        bundle=folder / BUNDLE_FILE,
    )


def docker_proxy(proxy: str, listen: str) -> str:
    """Return the URL under which a container finds the listener at `proxy`, which listens on address `listen`."""
    address = ipaddress.ip_address(listen)
    if not (address.is_unspecified or address.is_loopback):
        return proxy
    parts = urlsplit(proxy)
    login, at, _ = parts.netloc.rpartition("@")
    return f"http://{login}{at}{HOST_NAME}:{parts.port}"


def docker_arguments(variables: Mapping[str, str], mounts: Mapping[Path, PurePosixPath]) -> str:
    """Return arguments for `docker run` in one line, for `eval "docker run $(...) IMAGE"`."""
    arguments = [f"--add-host={HOST_NAME}:host-gateway"]
    for source, target in mounts.items():
        arguments += ["-v", f"{source}:{target}:ro"]
    for name, value in variables.items():
        arguments += ["-e", f"{name}={value}"]
    return shlex.join(arguments) + "\n"
