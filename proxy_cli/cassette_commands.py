"""The commands that read cassettes: `ls`, `show`, `verify`. They need no daemon and import no mitmproxy.

What they do is in `cassette_reading`, which brings the whole format library with it and is imported when one
of them runs, so that the other commands do not wait for it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

import click

_Params = ParamSpec("_Params")
_SIGPIPE = 128 + 13
"""The exit code that a shell gives to tools that a broken pipe ends; not 0, since `verify` was cut off."""

_LS_EPILOG = """\
\b
Examples:
  wiretape ls cassettes/demo.yaml
  wiretape ls testdata/*.yaml
  wiretape ls --json demo.yaml | jq '.cassettes[].interactions[].model'
"""
_SHOW_EPILOG = """\
\b
Examples:
  wiretape show cassettes/demo.yaml
  wiretape show cassettes/demo.yaml 2
  wiretape show cassettes/demo.yaml 2 --raw > body.txt
  wiretape show cassettes/demo.yaml 2 --raw-request | jq .messages
"""
_VERIFY_EPILOG = """\
\b
Examples:
  wiretape verify cassettes/*.yaml
  git ls-files '*/testdata/*.yaml' | xargs wiretape verify -q

\b
As a pre-commit hook:
  - repo: local
    hooks:
      - id: wiretape
        name: wiretape verify
        entry: wiretape verify -q
        language: system
        files: ^cassettes/.*\\.yaml$
"""


def exits_with(command: Callable[_Params, int]) -> Callable[_Params, None]:
    """Exit with what a command returns; without a word when its reader has gone (`| head`)."""

    @wraps(command)
    def exits(*args: _Params.args, **kwargs: _Params.kwargs) -> None:
        try:
            code = command(*args, **kwargs)
            sys.stdout.flush()
        except BrokenPipeError:
            # Python flushes stdout once more when it exits; that must not fail, too.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = _SIGPIPE
        raise click.exceptions.Exit(code)

    return exits


json_option = click.option("--json", "as_json", is_flag=True, help="Write JSON, with keys that stay.")
_cassettes_argument = click.argument("cassettes", metavar="CASSETTE...", nargs=-1, required=True)


@click.command("ls", epilog=_LS_EPILOG)
@_cassettes_argument
@json_option
@exits_with
def ls(cassettes: tuple[str, ...], as_json: bool) -> int:
    """List what cassettes hold, a line per interaction.

    Method, status, model, whether the answer was streamed, the sizes of the bodies, the time from the request
    to the response's headers, and the URL.
    """
    from proxy_cli import cassette_reading  # noqa: PLC0415 - 90 ms that the other commands do not need

    return cassette_reading.list_cassettes(cassettes, as_json=as_json)


@click.command("show", epilog=_SHOW_EPILOG, short_help="Show an interaction as a conversation.")
@click.argument("cassette", metavar="CASSETTE")
@click.argument("interaction_id", metavar="[ID]", required=False, type=int)
@click.option("--raw", is_flag=True, help="Write the response's body, byte for byte, and nothing else.")
@click.option(
    "--raw-request", is_flag=True, help="Write the request's body, byte for byte, and nothing else."
)
@json_option
@exits_with
def show(cassette: str, interaction_id: int | None, raw: bool, raw_request: bool, as_json: bool) -> int:
    """Show an interaction as a conversation; all of a cassette without ID.

    The messages, the tools offered and called, the text of a stream in one piece, the tokens used. It knows
    the dialects of OpenAI (chat, responses, embeddings), Anthropic, Gemini and Bedrock, and who speaks them.
    """
    from proxy_cli import cassette_reading  # noqa: PLC0415 - as above

    if raw + raw_request + as_json > 1:
        raise click.UsageError("--raw, --raw-request and --json exclude each other; give one of them")
    if raw or raw_request:
        return cassette_reading.write_body(cassette, interaction_id, of_request=raw_request)
    return cassette_reading.show_cassette(cassette, interaction_id, as_json=as_json)


@click.command("verify", epilog=_VERIFY_EPILOG)
@_cassettes_argument
@click.option("--any-layout", is_flag=True, help="Accept a YAML layout that go-vcr would not write.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing when all is in order.")
@json_option
@exits_with
def verify(cassettes: tuple[str, ...], any_layout: bool, quiet: bool, as_json: bool) -> int:
    """Check cassettes against the format and for credentials.

    That each can be read, counts its interactions from 0, is byte for byte what go-vcr writes, holds no
    exchange that was cut, and no credential: no header or query key that must be REDACTED, nowhere a text
    in the shape of a known key. Credentials are never shown. Exits with 1 when a file falls short, with 2
    when one cannot be read.
    """
    from proxy_cli import cassette_reading  # noqa: PLC0415 - as above

    return cassette_reading.verify_cassettes(cassettes, any_layout=any_layout, quiet=quiet, as_json=as_json)
