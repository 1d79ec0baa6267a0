"""The options that `run` and `start` share, and the request for a session that comes of them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from addons.routing import UpstreamProxy
from proxy_cli.messages import SessionRequest

if TYPE_CHECKING:
    from addons.settings import Settings
    from proxy_cli.outer_proxy import OuterProxy

_Command = TypeVar("_Command", bound=Callable[..., Any])

_OPTIONS = (
    click.option("--cassette", type=click.Path(path_type=Path), metavar="PATH",
                 help="Where to record.  [default: cassettes/NAME.yaml]"),
    click.option("--mode", metavar="MODE",
                 help="record-only, record-once, replay-only, replay-with-new-episodes or passthrough."
                      "  [default: record-only]"),
    click.option("--append", is_flag=True, help="Go on behind what an existing cassette holds."),
    click.option("--overwrite", is_flag=True, help="Replace an existing cassette."),
    click.option("--config", type=click.Path(path_type=Path), metavar="FILE",
                 help="Settings to use over the defaults.  [default: ./wiretape.yaml]"),
    click.option("--host", multiple=True, metavar="GLOB",
                 help="Record this host too, like llm.example.com or *.corp.example:8443; repeatable."),
    click.option("--keep-header", multiple=True, metavar="NAME",
                 help="Keep this header, on both sides; repeatable. A credential's value is still redacted."),
    click.option("--keep-all-headers", is_flag=True, help="Keep every header; credentials are still redacted."),
    click.option("--host-field", metavar="empty|url", help="What `host` holds in a request.  [default: empty]"),
    click.option("--layout", metavar="charm|go-vcr", help="How the YAML is indented.  [default: charm]"),
    click.option("--keep-timing", is_flag=True,
                 help="Keep the times of chunks beside the cassette, NAME.timing.jsonl, where one is written."),
    click.option("--port", type=click.IntRange(0, 65535), default=0, metavar="N",
                 help="Listen on this port.  [default: a free one]"),
    click.option("--listen", metavar="ADDRESS",
                 help="Listen on this IP address; others than loopback need --proxy-auth.  [default: 127.0.0.1]"),
    click.option("--proxy-auth", metavar="USER:PASSWORD",
                 help="Clients have to log in. WIRETAPE_PROXY_AUTH keeps the password out of the process list."),
    click.option("--upstream-ca", type=click.Path(path_type=Path), metavar="FILE",
                 help="Trust these certificates of upstreams, besides the usual roots."),
    click.option("--connect-to", multiple=True, metavar="HOST:PORT:ADDR:PORT",
                 help="Connect elsewhere, as curl does; URL, Host and SNI stay. Repeatable."),
    click.option("--upstream-proxy", metavar="URL|none",
                 help="Reach upstreams through this HTTP proxy.  [default: HTTPS_PROXY, with NO_PROXY]"),
    click.option("--client-cert", type=click.Path(path_type=Path), metavar="FILE",
                 help="PEM file with certificate and key, for upstreams that ask for one."),
    click.option("--reverse", multiple=True, metavar="[PORT=]URL",
                 help="Listen for clients that know no proxy, as this upstream's base URL; repeatable."),
    click.option("--unlisted", metavar="refuse|tunnel",
                 help="What replay-only does with hosts that are no routers.  [default: refuse]"),
    click.option("--fail-on-unused", is_flag=True,
                 help="`run` exits with 1 when recorded interactions were not asked for."),
    click.option("--repeat", is_flag=True, help="Let the last interaction that matches answer further calls."),
    click.option("--timing", metavar="at-once|recorded",
                 help="When the pieces of a replayed answer go out.  [default: at-once]"),
    click.option("--timing-factor", metavar="F", help="Multiply recorded times by this.  [default: 1.0]"),
)  # fmt: skip


def session_options(command: _Command) -> _Command:
    """Add the session options to a click command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def resolve(options: dict[str, Any]) -> Settings:
    """Return the settings that hold for these options; raises ConfigError."""
    from proxy_cli.settings import SessionOptions, load_settings  # noqa: PLC0415 - brings all of the settings

    if options["append"] and options["overwrite"]:
        raise click.UsageError("--append and --overwrite exclude each other; choose one")
    names = ("mode", "host", "keep_header", "keep_all_headers", "host_field", "layout", "keep_timing", "upstream_ca",
             "connect_to", "upstream_proxy", "client_cert", "reverse", "listen", "proxy_auth", "unlisted", "repeat",
             "timing", "timing_factor", "fail_on_unused")  # fmt: skip
    given = SessionOptions(**{name: options[name] for name in names})
    return load_settings(options["config"], os.environ, given, Path.cwd())


def session_request(
    name: str,
    options: dict[str, Any],
    settings: Settings,
    trusted_ca: Path,
    *,
    default_cassette: str,
    owner_pid: int | None = None,
    outer: OuterProxy | None = None,
) -> SessionRequest:
    """Return the request that opens a session with these options and settings.

    `outer` is the proxy to use where the settings name none.
    """
    cassette = options["cassette"] or Path("cassettes") / f"{default_cassette}.yaml"
    proxy, cert = settings.upstream.proxy, settings.upstream.client_cert
    url, no_proxy = proxy.url if isinstance(proxy, UpstreamProxy) else proxy, None
    if url is None and outer is not None:
        url, no_proxy = outer.url, outer.no_proxy
    return SessionRequest(
        name=name,
        # Not resolved: a symlink that the user made stays in the path that is shown.
        cassette=Path.cwd() / cassette.expanduser(),
        append=options["append"],
        overwrite=options["overwrite"],
        mode=settings.session.mode.value,
        layout=settings.session.layout.value,
        keep_timing=settings.session.keep_timing,
        host_field=settings.session.host_field,
        headers=settings.headers.to_json(),
        hosts=list(settings.hosts),
        never_decrypt=list(settings.never_decrypt),
        max_body=settings.limits.max_body,
        drain_seconds=settings.limits.drain_seconds,
        replay=settings.replay.to_json(),
        on_record_failure=settings.session.on_record_failure,
        port=options["port"],
        listen=settings.session.listen,
        login=settings.session.login.text if settings.session.login is not None else None,
        trusted_ca=str(trusted_ca),
        connect_to=[str(rule) for rule in settings.upstream.connect_to],
        upstream_proxy=url,
        no_proxy=no_proxy,
        client_cert=str(cert.absolute()) if cert is not None else None,
        reverse=[str(one) for one in settings.session.reverse],
        owner_pid=owner_pid,
    )
