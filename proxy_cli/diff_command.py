"""The command that compares two cassettes. Like the others that read them, it needs no daemon.

What it does is in `cassette_diff`, which is imported when the command runs.
"""

from __future__ import annotations

import click

from proxy_cli.cassette_commands import exits_with, json_option

_EPILOG = """\
\b
Examples:
  wiretape diff cassettes/chat.yaml new.yaml
  wiretape diff --only request before.yaml after.yaml
  wiretape diff --ignore 'metadata.trace' --ignore 'data[*].created' a.yaml b.yaml
  wiretape run --cassette new.yaml -- python agent.py && wiretape diff cassettes/agent.yaml new.yaml
"""


@click.command("diff", epilog=_EPILOG)
@click.argument("before", metavar="A")
@click.argument("after", metavar="B")
@click.option(
    "--only", type=click.Choice(["request", "response"]), help="Compare this side of the exchanges alone."
)
@click.option(
    "--ignore",
    metavar="PATH",
    multiple=True,
    help="Leave out this place of JSON bodies: messages[*].id; repeatable.",
)
@json_option
@exits_with
def diff(before: str, after: str, only: str | None, ignore: tuple[str, ...], as_json: bool) -> int:
    """Compare two cassettes, interaction by interaction: from A to B.

    Requests by their JSON, whatever the order of names; answers by text, tool calls, finish reason, usage,
    status and error. Ids, dates and times are no difference, and neither are headers. Exits with 1 when
    something differs, with 2 when a cassette cannot be read.
    """
    from proxy_cli import cassette_diff  # noqa: PLC0415 - brings the whole format library

    return cassette_diff.compare_cassettes(before, after, only=only, ignore=ignore, as_json=as_json)
