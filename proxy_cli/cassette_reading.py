"""What `ls`, `show` and `verify` do: read cassettes, print, return the exit code.

Errors of one file are one line on stderr; the other files are still read. Exit codes: 0, 1 where a check
found something, 2 for a wrong use (no such file, no cassette, no such interaction).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from cassette.errors import CassetteError, FormatError
from cassette.model import Cassette, Interaction
from cassette.store import load
from cassette.verify import Finding, verify
from proxy_cli.paper import Paper, one_line, paper_of_stdout
from proxy_cli.render_cassette import (
    conversation_json,
    conversation_text,
    finding_json,
    finding_text,
    interaction_json,
    list_text,
)

_FELL_SHORT = 1
_WRONG_USE = 2


def list_cassettes(paths: Sequence[str], *, as_json: bool) -> int:
    """Print what cassettes hold, a line per interaction; return the exit code."""
    paper = paper_of_stdout()
    listed: list[dict[str, object]] = []
    failed = False
    for number, path in enumerate(paths):
        cassette = load_or_complain(path)
        if cassette is None:
            failed = True
        elif as_json:
            interactions = [interaction_json(interaction) for interaction in cassette.interactions]
            listed.append({"path": path, "layout": cassette.layout.value, "interactions": interactions})
        else:
            if len(paths) > 1:
                say(("\n" if number else "") + paper.style(one_line(path), bold=True), paper)
            say(list_text(cassette, paper), paper)
    if as_json:
        say_json({"cassettes": listed})
    return _WRONG_USE if failed else 0


def show_cassette(path: str, interaction_id: int | None, *, as_json: bool) -> int:
    """Print an interaction of a cassette as a conversation, all without an id; return the exit code."""
    chosen = _choose(path, interaction_id)
    if chosen is None:
        return _WRONG_USE
    if as_json:
        say_json({"path": path, "interactions": [conversation_json(item) for item in chosen]})
        return 0
    paper = paper_of_stdout()
    if not chosen:
        say("no interactions", paper)
    for number, interaction in enumerate(chosen):
        if len(chosen) > 1:
            heading = f"{one_line(path)}  interaction {interaction.id}"
            say(("\n\n" if number else "") + paper.style(heading, fg="yellow", bold=True), paper)
        say(conversation_text(interaction, paper), paper)
    return 0


def write_body(path: str, interaction_id: int | None, *, of_request: bool) -> int:
    """Write the body of one interaction's response or request to stdout, unchanged; return the exit code."""
    chosen = _choose(path, interaction_id)
    if chosen is None:
        return _WRONG_USE
    if len(chosen) != 1:
        complain(f"{path}: holds {len(chosen)} interactions; say which one, by its ID")
        return _WRONG_USE
    body = chosen[0].request.body if of_request else chosen[0].response.body
    sys.stdout.buffer.write(body)
    return 0


def verify_cassettes(paths: Sequence[str], *, any_layout: bool, quiet: bool, as_json: bool) -> int:
    """Print what is wrong with cassettes, a line per finding; return the exit code."""
    paper = paper_of_stdout()
    checked: list[tuple[str, tuple[Finding, ...]]] = []
    for path in paths:
        try:
            data = Path(path).read_bytes()
        except OSError as exc:
            complain(f"{path}: cannot be read: {exc.strerror or exc}")
            continue
        findings = verify(data, any_layout=any_layout)
        checked.append((path, findings))
        for finding in () if as_json else findings:
            say(finding_text(path, finding, paper), paper)
    unread = len(paths) - len(checked)
    count = sum(len(findings) for _, findings in checked)
    if as_json:
        files = [
            {"path": path, "clean": not findings, "findings": [finding_json(finding) for finding in findings]}
            for path, findings in checked
        ]
        say_json({"clean": not count and not unread, "cassettes": files})
    elif checked and not (quiet and not count):
        say(_summary(checked, paper), paper)
    if unread:
        return _WRONG_USE
    return _FELL_SHORT if count else 0


def complain(message: str) -> None:
    """Write an error as one line to stderr."""
    click.echo(f"wiretape: {one_line(message)}", err=True)


def _summary(checked: Sequence[tuple[str, tuple[Finding, ...]]], paper: Paper) -> str:
    short = sum(1 for _, findings in checked if findings)
    count = sum(len(findings) for _, findings in checked)
    files = "1 cassette" if len(checked) == 1 else f"{len(checked)} cassettes"
    if not count:
        return paper.style(f"{files} checked, no findings", fg="green")
    noun = "finding" if count == 1 else "findings"
    where = "" if len(checked) == 1 else f" in {short} of them"
    return paper.style(f"{files} checked, {count} {noun}{where}", fg="red")


def _choose(path: str, interaction_id: int | None) -> tuple[Interaction, ...] | None:
    """Return the interactions with that id, all without one; None after having said what was wrong."""
    cassette = load_or_complain(path)
    if cassette is None or interaction_id is None:
        return None if cassette is None else cassette.interactions
    chosen = tuple(item for item in cassette.interactions if item.id == interaction_id)
    if not chosen:
        ids = [item.id for item in cassette.interactions]
        there = f"the IDs go from {min(ids)} to {max(ids)}" if ids else "it holds none"
        complain(f"{path}: no interaction {interaction_id}; {there}")
        return None
    return chosen


def load_or_complain(path: str) -> Cassette | None:
    """Return a cassette; None after having said what was wrong."""
    try:
        return load(path)
    except FormatError as exc:
        complain(f"{path}: not a cassette: {exc.message}")
    except CassetteError as exc:
        complain(f"{path}: {exc.message}" if Path(path).exists() else f"{path}: no such file")
    return None


def say(text: str, paper: Paper) -> None:
    """Write text to stdout; what its encoding lacks is escaped."""
    encoding = sys.stdout.encoding or "utf-8"
    click.echo(text.encode(encoding, "backslashreplace").decode(encoding), color=paper.colour)


def say_json(value: object) -> None:
    """Write JSON, all of it ASCII: recorded text may hold what a terminal obeys."""
    click.echo(json.dumps(value, indent=2))
