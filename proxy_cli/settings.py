"""Where settings come from, the weakest first: the defaults, a file, WIRETAPE_* variables, options.

What they may hold, and how layers are merged, is the matter of `addons.settings`. The environment is passed
in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from addons.settings import Layer, Settings, build_settings
from proxy_cli.variables import VARIABLES

_LOCAL_FILE = "wiretape.yaml"
_USER_FILE = "config.yaml"


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """The options of commands that are settings, as they were written; None: not given."""

    mode: str | None = None
    host: tuple[str, ...] = ()
    keep_header: tuple[str, ...] = ()
    keep_all_headers: bool = False
    host_field: str | None = None
    layout: str | None = None
    keep_timing: bool = False
    upstream_ca: str | Path | None = None
    connect_to: tuple[str, ...] = ()
    upstream_proxy: str | None = None
    listen: str | None = None
    proxy_auth: str | None = field(default=None, repr=False)
    client_cert: str | Path | None = None
    reverse: tuple[str, ...] = ()
    common_port: str | None = None
    unlisted: str | None = None
    repeat: bool = False
    fail_on_unused: bool = False
    timing: str | None = None
    timing_factor: str | None = None
    log_format: str | None = None
    metrics: str | None = None
    workers: str | None = None


def load_settings(
    config_file: Path | None, env: Mapping[str, str], options: SessionOptions, cwd: Path
) -> Settings:
    """Read and merge every layer. Relative paths on the command line and in variables are relative to `cwd`.

    Raises ConfigError, one line: the source, the key, what is wrong, a right example.
    """
    layers: list[Layer] = []
    path = find_config(config_file, env, cwd)
    if path is not None:
        from addons import configfile  # noqa: PLC0415 - brings the YAML library: 20 ms

        layers.append(Layer(str(path), configfile.read(path), base=path.parent))
    return build_settings([*layers, *_variable_layers(env, cwd), *_option_layers(options, cwd)])


def find_config(config_file: Path | None, env: Mapping[str, str], cwd: Path) -> Path | None:
    """Return the user's file: `--config`, WIRETAPE_CONFIG, ./wiretape.yaml, the platform's; None without one.

    One that was named is returned whether it is there or not: reading it then says so.
    """
    named = config_file or env.get("WIRETAPE_CONFIG")
    if named:
        return cwd / Path(named).expanduser()
    local = cwd / _LOCAL_FILE
    if local.is_file():
        return local
    from platformdirs import user_config_path  # noqa: PLC0415 - 12 ms that not every caller needs

    users = user_config_path("wiretape", appauthor=False) / _USER_FILE
    return users if users.is_file() else None


def _variable_layers(env: Mapping[str, str], cwd: Path) -> Iterator[Layer]:
    for name, path in VARIABLES.items():
        text = env.get(name, "").strip()
        if text:
            value = [part.strip() for part in text.split(",") if part.strip()] if path == ("hosts",) else text
            yield Layer(name, _nested(path, value), base=cwd, kind="variable")


def _option_layers(options: SessionOptions, cwd: Path) -> Iterator[Layer]:
    def keep(names: list[str]) -> dict[str, Any]:
        return {"headers": {"request": {"keep": names}, "response": {"keep": names}}}

    given: list[tuple[str, object, dict[str, Any]]] = [
        ("--mode", options.mode, _nested(("session", "mode"), options.mode)),
        ("--host", options.host or None, {"hosts": list(options.host)}),
        ("--keep-header", options.keep_header or None, keep(list(options.keep_header))),
        ("--keep-all-headers", options.keep_all_headers or None, keep(["*"])),
        ("--host-field", options.host_field, _nested(("session", "host_field"), options.host_field)),
        ("--layout", options.layout, _nested(("session", "layout"), options.layout)),
        (
            "--keep-timing",
            options.keep_timing or None,
            _nested(("session", "keep_timing"), options.keep_timing),
        ),
        ("--upstream-ca", options.upstream_ca, _nested(("upstream", "ca"), options.upstream_ca)),
        ("--connect-to", options.connect_to or None, {"upstream": {"connect_to": list(options.connect_to)}}),
        ("--unlisted", options.unlisted, _nested(("replay", "unlisted"), options.unlisted)),
        ("--repeat", options.repeat or None, _nested(("replay", "repeat"), options.repeat)),
        (
            "--fail-on-unused",
            options.fail_on_unused or None,
            _nested(("replay", "fail_on_unused"), options.fail_on_unused),
        ),
        ("--timing", options.timing, _nested(("replay", "timing"), options.timing)),
        (
            "--timing-factor",
            options.timing_factor,
            _nested(("replay", "timing_factor"), options.timing_factor),
        ),
        ("--listen", options.listen, _nested(("session", "listen"), options.listen)),
        ("--proxy-auth", options.proxy_auth, _nested(("session", "proxy_auth"), options.proxy_auth)),
        ("--log-format", options.log_format, _nested(("daemon", "log_format"), options.log_format)),
        ("--metrics", options.metrics, _nested(("daemon", "metrics"), options.metrics)),
        ("--workers", options.workers, _nested(("daemon", "workers"), options.workers)),
        ("--upstream-proxy", options.upstream_proxy, _nested(("upstream", "proxy"), options.upstream_proxy)),
        ("--client-cert", options.client_cert, _nested(("upstream", "client_cert"), options.client_cert)),
        ("--common-port", options.common_port, _nested(("daemon", "common_port"), options.common_port)),
        ("--reverse", options.reverse or None, {"session": {"reverse": list(options.reverse)}}),
    ]
    for option, value, values in given:
        if value is not None:
            yield Layer(option, values, base=cwd, kind="option")


def _nested(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    for name in reversed(path):
        value = {name: value}
    return dict(value)
