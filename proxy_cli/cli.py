"""The commands: each parses, calls one function, prints, and sets the exit status. No logic lives here."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import click

from addons.errors import ControlError, ProxyError
from addons.home import home
from cassette.errors import CassetteError
from proxy_cli import __version__, render
from proxy_cli.cassette_commands import ls, show, verify
from proxy_cli.control import Control, GoneError
from proxy_cli.diff_command import diff
from proxy_cli.doctor_command import doctor
from proxy_cli.places import Places
from proxy_cli.plugin_names import MODES
from proxy_cli.service_commands import service
from proxy_cli.session_options import session_options
from proxy_cli.variables import hints

_DEFAULT_NAME = "default"


class _WrongUsage(click.UsageError):
    """One line, where click itself prints four."""

    def show(self, file: Any = None) -> None:
        command = self.ctx.command_path if self.ctx is not None else "wiretape"
        message = self.format_message().rstrip(".")
        click.echo(f"wiretape: {message}; see: {command} --help", file=file, err=True)


def _in_one_line(error: click.UsageError) -> click.UsageError:
    # What click raises where a group is given no command shows the group's help; it has come with click 8.2.
    asks_for_help = type(error).__name__ == "NoArgsIsHelpError"
    return error if asks_for_help else _WrongUsage(error.format_message(), error.ctx)


class _Group(click.Group):
    """Prints our errors as one line and exits with their status, for every command alike."""

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        try:
            return super().make_context(*args, **extra)
        except click.UsageError as exc:
            raise _in_one_line(exc) from exc

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.UsageError as exc:
            raise _in_one_line(exc) from exc
        except ProxyError as exc:
            _fail(str(exc), exc.exit_code)
        except CassetteError as exc:
            _fail(str(exc), 3)

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return list(self.commands)  # in the order they are defined, not by the alphabet


def _fail(message: str, exit_code: int) -> None:
    click.echo(f"wiretape: {message}", err=True)
    sys.exit(exit_code)


def _control() -> Control:
    return Control(Places(home(os.environ)))


@click.group(
    cls=_Group,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog='Shell completion: eval "$(_WIRETAPE_COMPLETE=bash_source wiretape)" (or zsh_source, fish_source).',
)
@click.version_option(__version__, message="%(prog)s %(version)s")
def main() -> None:
    """Record what LLM clients and inference routers say to each other, as go-vcr cassettes.

    \b
    wiretape run -- python agent.py           record one command
    wiretape start chat; eval "$(wiretape env chat)"; ...; wiretape stop chat
    wiretape show cassettes/chat.yaml         read what was said
    """  # noqa: D301 - \b is click's mark for a block that is not to be wrapped
    for line in hints(os.environ):
        click.echo(f"wiretape: {line}", err=True)


@main.command(context_settings={"ignore_unknown_options": False, "allow_interspersed_args": False})
@session_options
@click.option("--name", metavar="NAME", help="Name of the cassette.  [default: the command's name]")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def run(command: tuple[str, ...], name: str | None, **options: Any) -> None:
    """Record one command; exits with the command's status.

    \b
    wiretape run -- python agent.py
    wiretape run --overwrite --cassette tests/chat.yaml -- npm test
    wiretape run --host llm.corp.example -- ./client
    """  # noqa: D301
    from proxy_cli.run import run_command  # noqa: PLC0415 - brings subprocess and the CA

    sys.exit(run_command(_control(), list(command), name, options))


@main.command(short_help="Open a session; starts the daemon when none runs.")
@click.argument("name", default=_DEFAULT_NAME)
@session_options
@click.option("--foreground", is_flag=True, help="Stay until Ctrl-C or SIGTERM, then stop the session.")
@click.option("--json", "as_json", is_flag=True, help="Print the session as JSON.")
def start(name: str, as_json: bool, foreground: bool, **options: Any) -> None:
    """Open a session; starts the daemon when none runs; prints how to use it.

    \b
    wiretape start
    wiretape start chat --cassette tests/chat.yaml --port 8899
    eval "$(wiretape env chat)"
    """  # noqa: D301
    from proxy_cli.foreground import stay, until_signal  # noqa: PLC0415
    from proxy_cli.opening import open_session  # noqa: PLC0415 - brings ssl

    control = _control()
    if not foreground:
        session = open_session(control, name, options, default_cassette=name).status
        click.echo(json.dumps(session) if as_json else render.started(session))
        return
    with until_signal() as ended:
        owner = os.getpid()
        session = open_session(control, name, options, default_cassette=name, owner_pid=owner).status
        click.echo(json.dumps(session) if as_json else render.started(session))
        summary = stay(control, name, ended)
    if summary is not None:
        _finish([summary], as_json)


@main.command(short_help="Close a session and finish its cassette.")
@click.argument("name", required=False)
@click.option("--all", "stop_all", is_flag=True, help="Stop every session.")
@click.option("--drain-seconds", type=click.FloatRange(min=0), metavar="N",
              help="How long what is in flight may take.  [default: the session's setting]")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the summaries as JSON.")
def stop(name: str | None, stop_all: bool, drain_seconds: float | None, as_json: bool) -> None:
    """Close a session: drain, finish the cassette, print path and counts.

    Exits with 1 when something that should have been recorded was not.

    \b
    wiretape stop chat
    wiretape stop --all
    """  # noqa: D301
    control = _control()
    open_names = [session["name"] for session in _status(control)["sessions"]]
    if not open_names and not control.is_running():
        raise ControlError("no daemon is running; start one with: wiretape start")
    names = open_names if stop_all else [_choose(name, open_names)]
    _finish([control.close(one, drain_seconds) for one in names], as_json)


def _finish(summaries: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(summaries))
    else:
        for summary in summaries:
            click.echo(render.stopped(summary))
    if any(render.has_loss(summary) for summary in summaries):
        sys.exit(1)


def _complete_mode(_ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    return [mode for mode in MODES if mode.startswith(incomplete)]


@main.command(short_help="Change the mode of a session while it runs.")
@click.argument("words", nargs=-1, metavar="[NAME] MODE", shell_complete=_complete_mode)
@click.option("--drain-seconds", type=click.FloatRange(min=0), metavar="N",
              help="How long what is being recorded may go on before a replay.  [default: drain_seconds]")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the session's status as JSON.")
def mode(words: tuple[str, ...], drain_seconds: float | None, as_json: bool) -> None:
    """Change the mode of a session while it runs: record-only, record-once, replay-only, replay-with-new-episodes or
    passthrough.

    Port, name and connections stay. What is under way ends in the mode that it began in. What is recorded goes
    behind what the cassette holds, in record-only too; a replay begins anew, with all that was recorded before it.

    \b
    wiretape mode replay-only                 the default session, or the only one
    wiretape mode chat record-only
    """  # noqa: D205, D301
    if not 1 <= len(words) <= 2:
        raise click.UsageError(f"expected [NAME] MODE; MODE is one of: {', '.join(MODES)}")
    *names, wanted = words
    if wanted not in MODES:
        raise click.UsageError(f"{wanted!r} is no mode; choose one of: {', '.join(MODES)}")
    control = _control()
    open_names = [session["name"] for session in control.status()["sessions"]]
    session = control.switch(_choose(names[0] if names else None, open_names), wanted, drain_seconds)
    click.echo(json.dumps(session) if as_json else render.switched(session))


@main.command(short_help="Show the daemon and its sessions.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as one JSON object.")
@click.option(
    "--ready", is_flag=True, help="Only tell whether all is well: exits with 1 and says why when not."
)
def status(as_json: bool, ready: bool) -> None:
    """Show the daemon and its sessions: port, mode, cassette, counts, failures.

    \b
    wiretape status
    wiretape status --json | jq '.sessions[].port'
    wiretape status --ready || wiretape logs  exits with 1 when something is wrong
    """  # noqa: D301
    if ready:
        found = _control().readiness()
        click.echo(json.dumps(found) if as_json else "\n".join(found["problems"]) or "ready")
        sys.exit(1 if found["problems"] else 0)
    answer = _status(_control())
    click.echo(json.dumps(answer) if as_json else render.status(answer))


@main.command(short_help="Print the variables that clients need.")
@click.argument("name", required=False)
@click.option("--format", "--shell", "form",
              type=click.Choice(["sh", "fish", "powershell", "dotenv", "json", "docker", "github"]),
              help="How to write the variables.  [default: your shell's way]")  # fmt: skip
@click.option("--common", is_flag=True, help="Use the port that all sessions have in common.")
@click.option("--unset", is_flag=True, help="Print what puts this shell's variables back as they were.")
def env(name: str | None, form: str | None, common: bool, unset: bool) -> None:
    """Print the variables that make a client use a session and trust its CA.

    \b
    eval "$(wiretape env)"                    sh, bash, zsh
    wiretape env chat | source                fish
    wiretape env --format dotenv > .env       tools that read such files
    wiretape env --format github >> "$GITHUB_ENV"
    eval "docker run $(wiretape env --format docker) IMAGE"
    eval "$(wiretape env --unset)"            as they were before
    """  # noqa: D301
    from proxy_cli import env_command  # noqa: PLC0415 - brings ssl

    if unset:
        printed = env_command.removal(form)
    else:
        control = _control()
        sessions = {session["name"]: session for session in control.status()["sessions"]}
        session = sessions[_choose(name, list(sessions))]
        proxy = (control.common_proxy_of if common else control.proxy_of)(session["name"])
        printed = env_command.session_environment(control.places.home, session, proxy, form)
    for note in printed.notes:
        click.echo(note if note.startswith("::") else f"wiretape: {note}", err=True)
    click.echo(printed.text, nl=False)


@main.command()
def recover() -> None:
    """Finish what a crash left; start, status and stop do it too.

    \b
    wiretape recover
    """  # noqa: D301
    if not _recover(_control()):
        click.echo("nothing to recover")


@main.group(invoke_without_command=True)
@click.option("--foreground", is_flag=True, help="Stay in the foreground and log to standard error too.")
@click.option("--log-format", metavar="text|json", help="How the log is written.  [default: text]")
@click.option("--metrics", metavar="HOST:PORT", help="Serve metrics and health over TCP too.")
@click.option(
    "--workers", metavar="N|auto", help="Proxy processes that share the work; auto: one a core.  [default: 1]"
)
@click.option("--common-port", metavar="N",
              help="Serve all sessions on this port too, by the user's name.  [default: none]")  # fmt: skip
@click.option("--linger", is_flag=True, hidden=True)
@click.pass_context
def daemon(ctx: click.Context, /, foreground: bool, linger: bool, **options: Any) -> None:
    """Run the capture daemon itself, for systemd and containers.

    Without --foreground it goes to the background. `start` and `run` start one by themselves, which ends when
    it has had no session for a while; this one stays.

    \b
    wiretape daemon --workers auto
    wiretape daemon --foreground --log-format json --metrics 127.0.0.1:9400
    wiretape daemon stop
    """  # noqa: D301
    if ctx.invoked_subcommand is not None:
        return
    from proxy_cli.settings import SessionOptions, load_settings  # noqa: PLC0415 - brings all of the settings

    settings = load_settings(None, os.environ, SessionOptions(**options), Path.cwd())
    control = _control()
    if foreground:
        from proxy_cli.daemon import run_daemon  # noqa: PLC0415 - only the daemon needs it

        run_daemon(control.places, settings.daemon, lingers=linger)
    else:
        control.ensure_daemon(None, options)
        click.echo(f"daemon running (pid {control.status()['daemon']['pid']})")


@daemon.command("stop")
def daemon_stop() -> None:
    """Close all sessions and end the daemon.

    \b
    wiretape daemon stop
    """  # noqa: D301
    control = _control()
    if not control.is_running():
        _recover(control)
        raise ControlError("no daemon is running")
    control.shut_down()
    click.echo("daemon stopped")


@main.command()
@click.option("-f", "--follow", is_flag=True, help="Go on printing what is added.")
@click.option(
    "-n", "--lines", type=click.IntRange(0), default=100, show_default=True, help="Begin so far back."
)
def logs(follow: bool, lines: int) -> None:
    """Print the daemon's log.

    \b
    wiretape logs -n 20
    wiretape logs -f | grep failed
    """  # noqa: D301
    from proxy_cli.logs import tail  # noqa: PLC0415

    for line in tail(_control().places.log, lines, follow):
        click.echo(line, nl=False)


@main.command(short_help="Tell about the CA, or where its files are.")
@click.argument("what", type=click.Choice(["path", "bundle"]), required=False)
def ca(what: str | None) -> None:
    """Tell about the CA certificate, or print where it or the combined bundle lies.

    \b
    wiretape ca                  what it is, how to trust it, how to be rid of it
    wiretape ca path             the certificate, for clients that add it to their roots
    wiretape ca bundle           it and the usual roots, for clients that replace theirs
    """  # noqa: D301
    from proxy_cli.ca import ca_text  # noqa: PLC0415 - brings ssl
    from proxy_cli.trust import client_ca  # noqa: PLC0415

    paths = client_ca(home(os.environ), os.environ)
    match what:
        case "path":
            click.echo(paths.certificate)
        case "bundle":
            click.echo(paths.bundle)
        case _:
            click.echo("\n".join(ca_text(paths)))


@main.command(short_help="Show the main job: no network, no key.")
def demo() -> None:
    """Show the main job with no network and no key: a built-in router, a real client, a cassette.

    \b
    wiretape demo
    """  # noqa: D301
    from proxy_cli.run import run_demonstration  # noqa: PLC0415

    sys.exit(run_demonstration(_control()))


for _command in (doctor, ls, show, verify, diff, service):
    main.add_command(_command)


def _status(control: Control) -> dict[str, Any]:
    """Return what the daemon says; without one, finish what it may have left and say that there is none."""
    try:
        return control.status()
    except GoneError:
        _recover(control)
        return {"daemon": None, "sessions": []}


def _choose(name: str | None, open_names: list[str]) -> str:
    """Return the session that is meant: the one named, the only one, or the default one."""
    if name is not None:
        if name in open_names:
            return name
        listed = ", ".join(open_names) or "none"
        raise ControlError(f"no session {name!r} is open (open: {listed}); open it: wiretape start {name}")
    if len(open_names) == 1:
        return open_names[0]
    if _DEFAULT_NAME in open_names:
        return _DEFAULT_NAME
    if not open_names:
        raise ControlError("no session is open; open one: wiretape start")
    raise ControlError(f"which session? name one of: {', '.join(open_names)}")


def _recover(control: Control) -> bool:
    """Finish what dead daemons left and say so; return whether there was anything."""
    journals = control.places.journals
    if not journals.is_dir() or not any(journals.iterdir()):
        return False
    from cassette.recovery import recover as recover_journals  # noqa: PLC0415 - only after a crash
    from proxy_cli.private import PrivateFolder  # noqa: PLC0415

    for folder in (control.places.home, journals):  # what others put there is not to be carried out
        PrivateFolder(folder).close()

    found = False
    for done in recover_journals(journals):
        found = True
        click.echo(render.recovered(done), err=True)
    return found
