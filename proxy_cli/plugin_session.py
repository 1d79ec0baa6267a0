"""A session around one test, as the pytest plugin opens and closes it. Knows nothing of pytest.

    open    options of the marker ─▶ settings ─▶ daemon ─▶ the variables in os.environ
    close   the variables as they were ─▶ drain ─▶ what is to be said of it: failures, doubts, notes

A test that fails leaves its cassette as it was: one that is recorded half would be replayed by the next run.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from addons.access import proxy_url
from addons.errors import ConfigError, ProxyError, StartError
from addons.home import home
from cassette.errors import CassetteError
from cassette.files import interrupted_path
from cassette.timing import timing_path
from proxy_cli import render
from proxy_cli.base_url_variables import base_url_variables
from proxy_cli.control import Control
from proxy_cli.environment import client_environment
from proxy_cli.opening import Opened, open_session
from proxy_cli.places import Places
from proxy_cli.session_options import session_options

ERRORS = (ProxyError, CassetteError, click.ClickException)
"""What opening and closing raise, for people; see `message`."""


def message(error: Exception) -> str:
    """Return what an error of `ERRORS` says."""
    return error.format_message() if isinstance(error, click.ClickException) else str(error)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is wanted for a test."""

    test: str
    """How pytest is told to run it alone."""
    session: str
    cassette: Path
    """Where it lies unless the options say otherwise."""
    mode: str
    folder: Path
    """What relative paths in the options are relative to."""
    hosts: tuple[str, ...] = ()
    config: Path | None = None
    """The settings to use unless the options name others."""
    fail_on_unused: bool = False
    keep_failed: bool = False
    """Whether what a failing test recorded is kept."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Session options by their names in Python, as `wiretape run` has them; those with a list, in the plural too."""


@dataclass(frozen=True, slots=True)
class Ending:
    """What is to be said at the end of a test."""

    failures: tuple[str, ...]
    """Reasons to fail a test; without them it is as it was."""
    doubts: tuple[str, ...] = ()
    """What to warn of."""
    notes: tuple[str, ...] = ()
    """For the report of a test that failed."""


class Tape:
    """The session of one test. The fixture's value: what is public here is for tests."""

    def __init__(
        self, plan: Plan, control: Control, opened: Opened, before: Mapping[Path, bytes | None]
    ) -> None:
        """Take over a session that was just opened, and set its variables."""
        self._plan = plan
        self._control = control
        self._replay = opened.settings.replay
        self._fails_on_unused = plan.options.get("fail_on_unused", self._replay.fail_on_unused)
        self._before = before
        self._summary: dict[str, Any] | None = None
        self._told = 0
        """How many misses the test's report has already."""
        session = opened.settings.session
        self.name: str = opened.status["name"]
        self.mode = session.mode.value
        self.cassette = Path(opened.status["cassette"] or plan.cassette)
        self.port: int = opened.status["port"]
        self.proxy = proxy_url(session.listen, self.port, session.login)
        """The proxy's URL, for clients that read no variables; with the password where one is set."""
        self.environment = client_environment(self.proxy, opened.ca, os.environ, self.name)
        self.environment |= base_url_variables(opened.status["reverse"], os.environ)
        """The variables that are set for the test, for subprocesses that get an environment of their own."""
        self._replaced = {name: os.environ.get(name) for name in self.environment}
        os.environ.update(self.environment)

    def __repr__(self) -> str:
        return f"<wiretape {self.mode} {self.cassette}>"

    def status(self) -> dict[str, Any]:
        """Return the session's counts, as `wiretape status --json` has them; at the end, the summary."""
        if self._summary is not None:
            return self._summary
        sessions = {session["name"]: session for session in self._control.status()["sessions"]}
        if self.name not in sessions:
            raise ProxyError(f"session {self.name!r} is gone; see: wiretape logs")
        status: dict[str, Any] = sessions[self.name]
        return status

    def close(self, drain_seconds: float | None = None) -> dict[str, Any]:
        """Close the session now: drain, finish the cassette, return the summary. The variables are as before."""
        if self._summary is None:
            self._restore_environment()
            self._summary = self._control.close(self.name, drain_seconds)
        return self._summary

    def _restore_environment(self) -> None:
        for name, value in self._replaced.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        self._replaced = {}

    def misses(self) -> str:
        """Return what there is to say of requests that found no answer since this was last asked; maybe nothing."""
        status = self.status()
        if status["records"] or not status["replays"] or not self._replay.fail_on_miss:
            return ""
        new, self._told = status["misses"] - self._told, status["misses"]
        if not new:
            return ""
        texts = status["miss_messages"][-new:]
        more = [f"and {new - len(texts)} more"] if new > len(texts) else []
        said = f"{render.count(new, 'request')} found no recorded answer in {self.cassette}"
        anew = f"to record it anew: pytest --wiretape-mode=record-only {self._plan.test!r}"
        return "\n\n".join([f"wiretape: {said}", *texts, *more, anew])

    def finish(self, *, passed: bool) -> Ending:
        """Close the session, put the cassette back if the test failed, and say what came of it."""
        keeps = self._plan.keep_failed
        try:
            summary = self.close(None if passed or keeps else 0.0)
        except ERRORS as exc:
            return Ending((f"wiretape: {message(exc)}; what was recorded is finished by: wiretape recover",))
        failures = list(self._failures(summary)) if passed else []
        notes = [render.stopped(summary)]
        if summary["records"] and (failures or not passed) and not keeps:
            (failures or notes).append(self._put_back())
        doubts = list(_doubts(summary)) if passed and not failures else []
        return Ending(tuple(failures), tuple(doubts), tuple(notes))

    def _failures(self, summary: dict[str, Any]) -> Iterator[str]:
        if misses := self.misses():
            yield misses
        if summary["replays"] and summary["unused"] and self._fails_on_unused:
            left = render.count(summary["unused"], "recorded interaction")
            yield f"wiretape: {left} in {self.cassette} not asked for"
        if summary["records"] and render.has_loss(summary):
            yield f"wiretape: {render.stopped(summary)}"

    def _put_back(self) -> str:
        for path, content in self._before.items():
            if content is None:
                path.unlink(missing_ok=True)
            elif _content(path) != content:
                path.write_bytes(content)
        return (
            f"wiretape: {self.cassette} is as it was before this test, since it failed; what such a test recorded is"
            " kept with --wiretape-keep-failed"
        )


def open_tape(plan: Plan, port: int) -> Tape:
    """Open a session, on this port if it can be had, and set its variables. Raises one of `ERRORS`.

    Tests of a process that share a port can share clients: one that is made in the first of them finds the proxy of
    the next at the same address.
    """
    options = _options(plan)
    chosen, cassette = options["port"], options["cassette"]
    if options["mode"] == "replay-only" and not cassette.exists():
        raise StartError(
            f"{cassette}: there is no cassette to replay; to record it: pytest --wiretape-mode=record-once"
            f" {plan.test!r} (replay-only is the default where the variable CI is set)"
        )
    before = {path: _content(path) for path in (cassette, interrupted_path(cassette), timing_path(cassette))}
    control = Control(Places(home(os.environ)))
    with warnings.catch_warnings():
        # Of the daemon, which is started here and outlives us.
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            opened = _open(control, plan, options | {"port": chosen or port})
        except StartError:
            if chosen or not port:
                raise
            opened = _open(control, plan, options)
    return Tape(plan, control, opened, before)


def _open(control: Control, plan: Plan, options: dict[str, Any]) -> Opened:
    return open_session(control, plan.session, options, default_cassette="", owner_pid=os.getpid())


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


@click.command()
@session_options
def _session(**_options: Any) -> None:
    """Stand for `run` and `start`, whose options are read here."""


def _options(plan: Plan) -> dict[str, Any]:
    """Return all session options as the commands would get them."""
    given: dict[str, Any] = {"mode": plan.mode, "cassette": plan.cassette, **plan.options}
    arguments = [
        argument for name, value in given.items() for argument in _arguments(name, value, plan.folder)
    ]
    arguments += [f"--host={host}" for host in plan.hosts]
    if plan.fail_on_unused:
        arguments.append("--fail-on-unused")
    options: dict[str, Any] = _session.make_context("wiretape", arguments).params
    if options["config"] is None:
        options["config"] = plan.config
    # A test has a cassette of its own: to record it is to record it anew.
    options["overwrite"] |= options["mode"] == "record-only" and not options["append"]
    return options


def _arguments(name: str, value: Any, folder: Path) -> Iterator[str]:
    """Write one option as it is written in a shell; raises ConfigError for one that there is not."""
    parameters = {
        parameter.name: parameter for parameter in _session.params if isinstance(parameter, click.Option)
    }
    plurals = {f"{one.name}s": one for one in parameters.values() if one.multiple}
    parameter = parameters.get(name) or plurals.get(name)
    if parameter is None:
        raise ConfigError(f"there is no option {name!r}; there are: {', '.join(filter(None, parameters))}")
    if value is None or value is False:
        return
    option = parameter.opts[0]
    if parameter.is_flag:
        yield option
        return
    values: Iterable[Any] = (value,) if isinstance(value, (str, Path)) or not parameter.multiple else value
    for each in values:
        written = folder / Path(each).expanduser() if isinstance(parameter.type, click.Path) else each
        yield f"{option}={written}"


def _doubts(summary: Mapping[str, Any]) -> Iterator[str]:
    """Say what is no failure and may well be a mistake."""
    reached = summary.get("hits", 0) + summary.get("misses", 0)
    if summary["records"] and summary["interrupted"]:
        beside = interrupted_path(Path(summary["cassette"]))
        yield f"{render.count(summary['interrupted'], 'exchange')} did not complete and will not be replayed: {beside}"
    elif summary["records"] and not (summary["interactions"] or reached):
        if summary["passed"] or summary["tunnels"]:
            yield "nothing was recorded: the test reached other hosts only; add them with hosts=[...]"
        else:
            yield "nothing was recorded: no request came through the proxy; does the client honour HTTPS_PROXY?"
    elif summary["replays"] and summary["unused"] and not reached:
        left = render.count(summary["unused"], "recorded interaction")
        yield f"none of {left} was asked for: does the client honour HTTPS_PROXY?"
