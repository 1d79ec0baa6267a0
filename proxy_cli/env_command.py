"""`wiretape env`: the variables of a session, in the form that is asked for."""

from __future__ import annotations

import ipaddress
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from addons.errors import ConfigError
from proxy_cli import env_export
from proxy_cli.base_url_variables import base_url_variables
from proxy_cli.ca import CaPaths
from proxy_cli.env_undo import undone, with_saved
from proxy_cli.environment import (
    Shell,
    client_environment,
    detect_shell,
    format_environment,
    format_removal,
    parent_name,
)
from proxy_cli.private import PrivateFolder
from proxy_cli.trust import client_ca

_SHELLS = frozenset({Shell.SH, Shell.FISH, Shell.POWERSHELL})

_CONTAINER_FILES = "containers"
"""Copies of what clients read, readable for any user of a container; in a home that no other user of this machine can
enter."""


@dataclass(frozen=True, slots=True)
class Printed:
    """What a command prints."""

    text: str
    """For the one who reads the output."""
    notes: tuple[str, ...] = ()
    """For people, on standard error."""


def session_environment(home: Path, session: Mapping[str, Any], proxy: str, form: str | None) -> Printed:
    """Write the variables of a session (as `status` has it) whose listener is at the URL `proxy`."""
    env = os.environ
    if form == "docker":
        return _docker(home, session, proxy)
    variables = client_environment(proxy, client_ca(home, env), env, session["name"])
    variables |= base_url_variables(session["reverse"], env)
    if form == "github":
        return _github(variables, proxy)
    shell = _shell(form)
    # In a file, or in another program's hands, the values of this shell have no meaning.
    if shell in _SHELLS:
        variables = with_saved(variables, env)
    return Printed(format_environment(variables, shell))


def removal(form: str | None) -> Printed:
    """Write what puts the variables of this shell back as they were. Raises ConfigError where that cannot be said."""
    before = undone(os.environ)
    if not before:
        return Printed("", ("nothing to undo: `wiretape env` has set no variables here",))
    if form == "json":
        return Printed(json.dumps(before, indent=2) + "\n")
    if form in {"docker", "dotenv", "github"}:
        raise ConfigError(
            f"--format {form} has no way to remove a variable; use sh, fish, powershell or json"
        )
    return Printed(format_removal(before, _shell(form)))


def _shell(form: str | None) -> Shell:
    return detect_shell(os.environ, parent_name(os.getppid())) if form is None else Shell(form)


def _github(variables: Mapping[str, str], proxy: str) -> Printed:
    # The runner reads commands from both outputs of a step; the first one goes to the file.
    notes = [
        *env_export.github_masks(proxy),
        f"left out, since GitHub refuses it here, NODE_OPTIONS={variables['NODE_OPTIONS']}; put it into `env` of steps",
    ]
    return Printed(env_export.github_lines(variables), tuple(notes))


def _docker(home: Path, session: Mapping[str, Any], proxy: str) -> Printed:
    # A container has variables of its own; of this shell's only the exceptions hold there, too.
    env = {name: os.environ[name] for name in ("NO_PROXY", "no_proxy") if name in os.environ}
    inside = env_export.docker_paths()
    reached = env_export.docker_proxy(proxy, session["listen"])
    variables = client_environment(reached, inside, env, session["name"])
    base_urls = [
        {**one, "base_url": env_export.docker_proxy(one["base_url"], session["listen"])}
        for one in session["reverse"]
    ]
    variables |= base_url_variables(base_urls, env)
    outside = _container_files(home, client_ca(home, os.environ))
    mounts = {source: PurePosixPath(inside.directory, name) for name, source in outside.items()}
    return Printed(env_export.docker_arguments(variables, mounts), tuple(_docker_notes(session, proxy)))


def _docker_notes(session: Mapping[str, Any], proxy: str) -> list[str]:
    notes = ['for: eval "docker run $(wiretape env --format docker) IMAGE"']
    if ipaddress.ip_address(session["listen"]).is_loopback:
        notes.append(
            f"session {session['name']!r} listens on {session['listen']}, which on Linux no container reaches; open it"
            " with --listen 0.0.0.0 (or the address of the bridge docker0) and WIRETAPE_PROXY_AUTH=USER:PASSWORD"
        )
    if "@" in proxy:
        notes.append(
            "these arguments hold the session's password; the process list shows it while `docker run` runs"
        )
    return notes


def _container_files(home: Path, ca: CaPaths) -> dict[str, Path]:
    """Bring the copies for containers up to date; return them by their names inside a container."""
    inside = env_export.docker_paths()
    sources = {
        inside.certificate.name: ca.certificate,
        inside.bundle.name: ca.bundle,
        inside.java_store.name: ca.java_store,
        inside.node_preload.name: ca.node_preload,
    }
    copies = {}
    with PrivateFolder(home / _CONTAINER_FILES) as folder:
        for name, source in sources.items():
            copy, content = folder.path / source.name, source.read_bytes()
            # Not through `folder.read`, which takes the readers' right away for a moment.
            if copy.is_symlink() or not copy.is_file() or copy.read_bytes() != content:
                with folder.lock():
                    folder.write(source.name, content)
            copy.chmod(0o644)
            copies[name] = copy
    return copies
