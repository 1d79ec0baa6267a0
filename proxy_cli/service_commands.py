"""`wiretape service install|uninstall|status`."""

from __future__ import annotations

import json
import os
import sys

import click

_CANNOT = 3


@click.group(short_help="Run the daemon as a service of yours.")
def service() -> None:
    """Run the daemon as a service of yours: a systemd user unit, a launchd agent.

    \b
    wiretape service install
    wiretape service status
    wiretape service uninstall
    """  # noqa: D301


@service.command()
@click.option("--print", "only_print", is_flag=True, help="Print the file instead; nothing is installed.")
def install(only_print: bool) -> None:
    """Start the daemon now and at every login.

    \b
    wiretape service install
    wiretape service install --print          to look at it, or to put it elsewhere
    """  # noqa: D301
    from proxy_cli import service as services  # noqa: PLC0415 - brings subprocess

    one = services.service(os.environ)
    if only_print:
        click.echo(one.content.decode(), nl=False)
        return
    failed = services.install(one)
    click.echo(f"wrote {one.path}")
    _finish(failed, "the daemon runs now and after every login")


@service.command()
def uninstall() -> None:
    """Stop the service and delete its file; sessions are drained and closed.

    \b
    wiretape service uninstall
    """  # noqa: D301
    from proxy_cli import service as services  # noqa: PLC0415

    one = services.service(os.environ)
    failed = services.uninstall(one)
    click.echo(f"deleted {one.path}")
    _finish(failed, "the service is stopped")


@service.command()
@click.option("--json", "as_json", is_flag=True, help="Print it as one JSON object.")
def status(as_json: bool) -> None:
    """Tell whether the service is installed and runs; exits with 1 when it does not run.

    \b
    wiretape service status || wiretape logs -n 20
    """  # noqa: D301
    from proxy_cli import service as services  # noqa: PLC0415

    one = services.service(os.environ)
    found = {"file": str(one.path), "installed": one.path.exists(), "running": services.is_active(one)}
    if as_json:
        click.echo(json.dumps(found))
    else:
        state = "runs" if found["running"] else "does not run"
        click.echo(f"{one.path}: {f'installed, {state}' if found['installed'] else 'not installed'}")
    sys.exit(0 if found["running"] else 1)


def _finish(failed: str, done: str) -> None:
    if failed:
        click.echo(f"wiretape: this did not work, do it yourself: {failed}", err=True)
        sys.exit(_CANNOT)
    click.echo(done)
