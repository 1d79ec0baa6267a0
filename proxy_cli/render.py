"""Sessions and the daemon as text for people."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cassette.files import interrupted_path
from proxy_cli.paper import paper_of_stdout

if TYPE_CHECKING:
    from cassette.recovery import Recovered


def started(session: dict[str, Any]) -> str:
    """Return what `start` says: where to point a client and what to do afterwards."""
    name = session["name"]
    argument = "" if name == "default" else f" {name}"
    return "\n".join(
        [
            f"session {paper_of_stdout().style(name, bold=True)} on {session['proxy']}, {_doing(session)}",
            *_base_urls(session),
            f'  use it:   eval "$(wiretape env{argument})"',
            f"  stop it:  wiretape stop{argument}",
        ]
    )


def switched(session: dict[str, Any]) -> str:
    """Return what `mode` says: what the session does from now on."""
    name = paper_of_stdout().style(session["name"], bold=True)
    return f"session {name} on {session['proxy']}, {_doing(session)}"


def _doing(session: dict[str, Any]) -> str:
    what = (("replaying", session["replays"]), ("recording to", session["records"]))
    doing = " and ".join(text for text, does in what if does)
    return f"{doing} {shown(session['cassette'])}" if doing and session["cassette"] else "passing through"


def _base_urls(session: dict[str, Any]) -> list[str]:
    return [f"  {one['base_url']} is {one['upstream']}" for one in session["reverse"]]


def stopped(summary: dict[str, Any]) -> str:
    """Return what `stop` and `run` say at the end: the path, the counts, and what went wrong."""
    lines = []
    if summary["cassette"] is None:
        lines.append(f"{summary['name']}: passed {count(summary['passed'], 'request')} through")
    else:
        records = _has_recorded(summary)
        facts = [count(summary["interactions"], "interaction")] if records else []
        facts += _replayed(summary)
        where = "in" if records else "from"
        lines.append(f"{summary['name']}: {', '.join(facts)} {where} {shown(summary['cassette'])}")
        if summary["interrupted"]:
            beside = shown(str(interrupted_path(Path(summary["cassette"]))))
            lines.append(f"  {summary['interrupted']} interrupted: {beside}")
    missing = summary["not_recorded"]
    lines.extend(
        f"  {text}"
        for text in (
            summary["cut"] and f"{count(summary['cut'], 'exchange')} cut by the deadline",
            missing["websockets"] and f"{count(missing['websockets'], 'WebSocket')} passed, not recorded",
            missing["too_long"]
            and f"{count(missing['too_long'], 'body', 'bodies')} past max_body, not recorded",
            missing["refused"] and f"{count(missing['refused'], 'request')} without an answer from upstream",
            missing["failed"]
            and f"{count(missing['failed'], 'exchange')} NOT recorded{_why(summary)}; see: wiretape logs",
            missing["blocked"]
            and f"{count(missing['blocked'], 'request')} NOT passed on, for on_record_failure is block{_why(summary)}",
            summary["problem"] and f"problem: {summary['problem']}; when it is solved: wiretape recover",
        )
        if text
    )
    return "\n".join(lines)


def _replayed(session: dict[str, Any]) -> list[str]:
    """Return what a session replayed, also before its mode was changed."""
    if "hits" not in session:
        return []
    return [
        count(session["hits"], "hit"),
        count(session["misses"], "miss", "misses"),
        *([f"{session['unused']} unused"] if "unused" in session else []),
    ]


def _has_recorded(session: dict[str, Any]) -> bool:
    return bool(session["records"] or session["interactions"])


def has_loss(summary: dict[str, Any]) -> bool:
    """Tell whether something that should have been recorded was not."""
    missing = summary["not_recorded"]
    return bool(missing["failed"] or missing["blocked"] or summary["problem"])


def _why(session: dict[str, Any]) -> str:
    return f" ({session['failure']})" if session["failure"] else ""


def status(answer: dict[str, Any]) -> str:
    """Return what `status` says."""
    if answer["daemon"] is None:
        return "no daemon is running; start one with: wiretape start"
    info = answer["daemon"]
    several = f", {len(info['workers'])} workers" if len(info["workers"]) > 1 else ""
    lines = [
        f"daemon running (pid {info['pid']}, version {info['version']}{several}), log {shown(info['log'])}"
    ]
    if not answer["sessions"]:
        lines.append("no session is open; open one: wiretape start")
    for session in answer["sessions"]:
        target = shown(session["cassette"]) if session["cassette"] else "-"
        lines.append(
            f"{paper_of_stdout().style(session['name'], bold=True)}  {session['mode']}  {session['proxy']}  {target}"
        )
        facts = [
            *([count(session["interactions"], "interaction")] if _has_recorded(session) else []),
            *_replayed(session),
            f"{session['in_flight']} in flight",
            *(["changing its mode"] if session["changing"] else []),
            *(f"{session[key]} {key}" for key in ("interrupted", "passed", "tunnels") if session[key]),
            *(
                f"{number} {key.replace('_', ' ')}"
                for key, number in session["not_recorded"].items()
                if number
            ),
        ]
        if session["journal_lag_bytes"]:
            facts.append(f"{session['journal_lag_bytes']} bytes behind")
        lines.append(f"  {', '.join(facts)}")
        lines += _base_urls(session)
        if session["problem"]:
            lines.append(paper_of_stdout().style(f"  problem: {session['problem']}", fg="red"))
    return "\n".join(lines)


def recovered(done: Recovered) -> str:
    """Return what is said of a session that a crash had left."""
    if done.problem:
        return f"wiretape: session {done.name} is not recovered yet: {done.problem}"
    added = count(done.interactions, "interaction")
    text = f"wiretape: recovered session {done.name}: {added} added to {done.cassette}"
    if done.interrupted:
        text += f", {done.interrupted} to {interrupted_path(done.cassette)}"
    return text


def count(number: int, one: str, many: str = "") -> str:
    """Return a number with its noun."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def shown(path: str) -> str:
    """Return a path as short as it can be typed from here."""
    try:
        relative = os.path.relpath(path)
    except OSError:  # the folder where we stand is gone
        return path
    return path if Path(relative).parts[:1] == (os.pardir,) else relative
