"""`wiretape doctor`: would a client go through? Answered by looking, by trying, and by running a command."""

from __future__ import annotations

import os
import sys
from typing import Any
from urllib.parse import unquote, urlsplit

import click

from addons.home import home
from proxy_cli.control import Control
from proxy_cli.paper import paper_of_stdout
from proxy_cli.places import Places

_COMMAND = f"{__name__}.command"

_RUNTIMES = ("python", "node", "deno", "bun", "go", "java", "curl", "git")


class _DoctorCommand(click.Command):
    """Takes what stands behind `--` for a command; before it there may be a session's name."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Part the arguments at the first `--`."""
        if "--" in args:
            at = args.index("--")
            ctx.meta[_COMMAND] = args[at + 1 :]
            args = args[:at]
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """Name the command in the usage line."""
        return [*super().collect_usage_pieces(ctx), "[-- COMMAND [ARG]...]"]


@click.command("doctor", cls=_DoctorCommand, short_help="Check that clients go through.")
@click.argument("name", required=False)
@click.option("--runtime", "runtimes", multiple=True, type=click.Choice(_RUNTIMES),
              help="Try this one only; repeatable.  [default: every one that is installed]")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print everything as one JSON object.")
@click.pass_context
def doctor(ctx: click.Context, name: str | None, runtimes: tuple[str, ...], as_json: bool) -> None:
    """Check that clients go through: the setup, this shell, the runtimes on this machine, or one command.

    Every runtime makes a real request to a router on this machine, through a session of its own. A command is run,
    too, in such a session, which is recorded nowhere: what arrived is told, and on Linux the connections that went past
    the proxy. Exits with 1 when something would not go through.

    \b
    wiretape doctor
    wiretape doctor --runtime node --runtime python
    wiretape doctor -- python agent.py
    """  # noqa: D301
    from proxy_cli import doctor_findings  # noqa: PLC0415 - all that follows is loaded for this command only

    command: list[str] | None = ctx.meta.get(_COMMAND)
    if command == []:
        raise click.UsageError("there is no command behind --")
    findings = _findings(Control(Places(home(os.environ))), name, list(runtimes), command, as_json=as_json)
    if as_json:
        click.echo(doctor_findings.as_json(findings))
    else:
        click.echo(doctor_findings.as_table(findings, paper_of_stdout()))
    sys.exit(0 if doctor_findings.is_well(findings) else 1)


def _findings(
    control: Control, name: str | None, runtimes: list[str], command: list[str] | None, *, as_json: bool
) -> list[Any]:
    from addons.access import Login  # noqa: PLC0415
    from proxy_cli import doctor_checks, doctor_probes  # noqa: PLC0415

    state, findings = doctor_checks.daemon_state(control, name, os.environ)
    findings += doctor_checks.ca_findings(control.places.home)
    findings += doctor_checks.shell_findings(control.places.home, state, os.environ)
    if command is not None:
        from proxy_cli.doctor_run import watch_command  # noqa: PLC0415

        # The output is for who reads the JSON.
        return [*findings, *watch_command(command, sys.stderr if as_json else None)]
    login = None
    if state.proxy is not None and (parts := urlsplit(state.proxy)).username is not None:
        login = Login(unquote(parts.username), unquote(parts.password or ""))
    return [*findings, *doctor_probes.probe_runtimes(runtimes or list(_RUNTIMES), login)]
