"""Layers of settings become one `Settings`: what may be set, and what a wrong key or value is told.

    config/default.yaml  <  a user's file  <  WIRETAPE_*  <  options        each is one or more `Layer`s

Lists of a later layer add to those before, mappings are merged, anything else replaces. Where the layers come
from is known to `proxy_cli.settings`; here nothing reads the environment.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from addons import setting_values
from addons.access import Address, Login, require_login
from addons.errors import ConfigError
from addons.reverse import Reverse
from addons.routing import ConnectTo, HostPattern, Router, RouterTable, UpstreamProxy, parse_host_pattern
from cassette.headerfilter import HeaderPolicy, HeaderRules
from cassette.matchrules import MatchRules
from cassette.model import Layout


class Mode(enum.Enum):
    """What a session does with traffic; go-vcr's names."""

    RECORD_ONLY = "record-only"
    """Everything goes to the upstreams and is recorded."""
    RECORD_ONCE = "record-once"
    """Record when there is no cassette, replay when there is one."""
    REPLAY_ONLY = "replay-only"
    """Answer from the cassette; nothing goes to a router."""
    REPLAY_WITH_NEW_EPISODES = "replay-with-new-episodes"
    """Answer from the cassette; what is not in it goes to the upstream and is recorded."""
    PASSTHROUGH = "passthrough"
    """Everything goes to the upstreams; nothing is recorded."""


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """What a session starts with."""

    mode: Mode
    host_field: Literal["empty", "url"]
    layout: Layout
    on_record_failure: Literal["pass", "block"]
    listen: str
    """An IP address."""
    login: Login | None
    """What clients have to know; never None where others than this machine's users can connect."""
    keep_timing: bool
    """Whether the times of chunks are kept beside the cassette, where one is written."""
    reverse: tuple[Reverse, ...]
    """Listeners for clients that know no proxy."""


@dataclass(frozen=True, slots=True)
class ReplaySettings:
    """How a cassette answers."""

    unlisted: Literal["refuse", "tunnel"]
    """What a sealed session does with hosts that it does not replay."""
    repeat: bool
    """Whether the last interaction that matches answers further calls."""
    timing: Literal["at-once", "recorded"]
    timing_factor: float
    compress: bool
    fail_on_miss: bool
    fail_on_unused: bool
    match: MatchRules

    def to_json(self) -> dict[str, Any]:
        """Return what the proxy has to know of it, in plain JSON types."""
        return {
            "unlisted": self.unlisted,
            "repeat": self.repeat,
            "factor": self.timing_factor if self.timing == "recorded" else 0.0,
            "compress": self.compress,
            "match": self.match.to_json(),
        }


@dataclass(frozen=True, slots=True)
class Limits:
    """What is bounded."""

    max_body: int
    """Bytes of one body."""
    drain_seconds: float


@dataclass(frozen=True, slots=True)
class DaemonSettings:
    """How the daemon lives."""

    linger_seconds: float
    log_level: Literal["debug", "info", "warning", "error"]
    log_format: Literal["text", "json"]
    workers: int
    """How many proxy processes share the work."""
    metrics: Address | None
    """Where metrics and health are served over TCP."""
    common_port: int | None
    """A listener for all sessions, which the client's user name chooses from; None for none."""


@dataclass(frozen=True, slots=True)
class UpstreamSettings:
    """How upstreams are reached."""

    ca: Path | None
    """Absolute; a PEM file of certificates besides the usual roots."""
    proxy: UpstreamProxy | Literal["none"] | None
    """None for the one that the environment names."""
    connect_to: tuple[ConnectTo, ...]
    client_cert: Path | None
    """Absolute; a PEM file with a certificate and its key, for upstreams that ask for one."""


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings, checked."""

    session: SessionSettings
    hosts: tuple[str, ...]
    """The user's own host patterns, which `routers` holds already."""
    never_decrypt: tuple[str, ...]
    headers: HeaderPolicy
    replay: ReplaySettings
    limits: Limits
    daemon: DaemonSettings
    upstream: UpstreamSettings
    routers: RouterTable = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Layer:
    """Settings from one source, unchecked: nested mappings with the keys of config/default.yaml."""

    source: str
    """For messages: a file, the name of a variable, an option."""
    values: Mapping[str, Any]
    base: Path = field(default_factory=Path)
    """What paths in it are relative to."""
    kind: Literal["file", "variable", "option"] = "file"


@dataclass(frozen=True, slots=True)
class _Key:
    """A setting: how one value is read, and a right one."""

    read: Callable[..., Any]
    example: str
    many: bool = False
    is_path: bool = False
    explains: bool = False
    """Whether what `read` raises shows a right value itself."""


_Path = tuple[str, ...]
_Schema = Mapping[str, "_Key | _Schema"]


def _side(example: str, value: str) -> _Schema:
    return {
        "keep": _Key(setting_values.header_name, example, many=True),
        "drop": _Key(setting_values.header_name, example, many=True),
        "redact": _Key(setting_values.header_name, example, many=True),
        "replace": _Key(setting_values.replacements, f'{{{example}: "{value}"}}'),
        "unsafe_keep": _Key(setting_values.full_header_name, "X-Test-Token", many=True),
    }


_RULES = tuple(_side("", ""))
_SIDES: _Schema = {
    "request": _side("User-Agent", "my-client/1.0"),
    "response": _side("X-Request-Id", "request-1"),
}
_ANY_HOST = "PATTERN"
_HOSTS = _Key(setting_values.host_pattern, "api.example.com", many=True, explains=True)
_SCHEMA: _Schema = {
    "session": {
        "mode": _Key(setting_values.mode, "record-only"),
        "host_field": _Key(setting_values.one_of("empty", "url"), "url"),
        "layout": _Key(setting_values.one_of(*(layout.value for layout in Layout)), "charm"),
        "on_record_failure": _Key(setting_values.one_of("pass", "block"), "block"),
        "listen": _Key(setting_values.listen, "127.0.0.1", explains=True),
        "proxy_auth": _Key(setting_values.login, "me:a-long-word", explains=True),
        "keep_timing": _Key(setting_values.yes_or_no, "true"),
        "reverse": _Key(setting_values.reverse, "https://api.openai.com", many=True, explains=True),
    },
    "hosts": _HOSTS,
    "never_decrypt": _HOSTS,
    "headers": {**_SIDES, "hosts": {_ANY_HOST: _SIDES}},
    "replay": {
        "unlisted": _Key(setting_values.one_of("refuse", "tunnel"), "tunnel"),
        "repeat": _Key(setting_values.yes_or_no, "true"),
        "timing": _Key(setting_values.one_of("at-once", "recorded"), "recorded"),
        "timing_factor": _Key(setting_values.factor, "0.1"),
        "compress": _Key(setting_values.yes_or_no, "true"),
        "fail_on_miss": _Key(setting_values.yes_or_no, "false"),
        "fail_on_unused": _Key(setting_values.yes_or_no, "true"),
        "ignore_paths": _Key(setting_values.ignored_path, "metadata.trace_id", many=True),
        "ignore_query": _Key(setting_values.text, "api-version", many=True),
        "volatile": _Key(setting_values.volatile_name, "uuid", many=True),
        "patterns": _Key(setting_values.volatile_patterns, '{build: "b[0-9]+"}'),
        "profiles": _Key(setting_values.profile_name, "anthropic", many=True),
    },
    "limits": {
        "max_body": _Key(setting_values.size, "256MB"),
        "drain_seconds": _Key(setting_values.seconds, "10"),
    },
    "daemon": {
        "linger_seconds": _Key(setting_values.seconds, "60"),
        "log_level": _Key(setting_values.one_of("debug", "info", "warning", "error"), "info"),
        "log_format": _Key(setting_values.one_of("text", "json"), "json"),
        "metrics": _Key(setting_values.address, "127.0.0.1:9464"),
        "workers": _Key(setting_values.workers, "4"),
        "common_port": _Key(setting_values.port, "8899"),
    },
    "upstream": {
        "ca": _Key(setting_values.certificates, "corporate-ca.pem", is_path=True),
        "proxy": _Key(setting_values.upstream_proxy, "http://proxy.example.com:3128", explains=True),
        "connect_to": _Key(
            setting_values.connect_to, "api.openai.com:443:127.0.0.1:8443", many=True, explains=True
        ),
        "client_cert": _Key(setting_values.client_certificate, "client.pem", is_path=True),
    },
}


def build_settings(layers: Iterable[Layer]) -> Settings:
    """Check the layers, the weakest first, put them on top of the defaults and return the whole.

    Raises ConfigError, one line: the source, the key, what is wrong, what is right.
    """
    merged: dict[_Path, Any] = {}
    patterns: dict[str, str] = {}
    for layer in (Layer("config/default.yaml", _shipped("default.yaml")), *layers):
        for path, key, value in _check(layer, layer.values, _SCHEMA, ()):
            if len(path) >= 3 and path[:2] == ("headers", "hosts"):
                patterns.setdefault(path[2], layer.source)
            if key is None:
                continue
            adds = key.many or isinstance(value, tuple)
            merged[path] = merged.get(path, ()) + value if adds else value
    require_login(merged["session", "listen"], merged["session", "proxy_auth"])
    reverse = merged["session", "reverse"]
    _require_no_login(reverse, merged["session", "proxy_auth"])
    routers = router_table(merged["hosts",], merged["never_decrypt",])
    merged["hosts",] += tuple(dict.fromkeys(_unlisted(reverse, routers)))
    routers = router_table(merged["hosts",], merged["never_decrypt",]) if reverse else routers
    for pattern, source in patterns.items():
        _check_known(pattern, source, routers)
    return Settings(
        session=SessionSettings(
            Mode(merged["session", "mode"]),
            merged["session", "host_field"],
            Layout(merged["session", "layout"]),
            merged["session", "on_record_failure"],
            merged["session", "listen"],
            merged["session", "proxy_auth"],
            merged["session", "keep_timing"],
            reverse,
        ),
        hosts=merged["hosts",],
        never_decrypt=merged["never_decrypt",],
        headers=HeaderPolicy(
            _rules(merged, ("headers", "request")),
            _rules(merged, ("headers", "response")),
            tuple(
                (
                    pattern,
                    _rules(merged, ("headers", "hosts", pattern, "request")),
                    _rules(merged, ("headers", "hosts", pattern, "response")),
                )
                for pattern in patterns
            ),
        ),
        replay=_replay(merged),
        limits=Limits(merged["limits", "max_body"], merged["limits", "drain_seconds"]),
        daemon=DaemonSettings(**{name: merged["daemon", name] for name in _SCHEMA["daemon"]}),  # type: ignore[union-attr]
        upstream=UpstreamSettings(
            merged["upstream", "ca"],
            merged["upstream", "proxy"],
            merged["upstream", "connect_to"],
            merged["upstream", "client_cert"],
        ),
        routers=routers,
    )


def _require_no_login(reverse: Sequence[Reverse], login: Login | None) -> None:
    """Raise ConfigError where a login would be asked of clients that cannot log in."""
    if reverse and login is not None:
        raise ConfigError(
            "clients of --reverse cannot log in, as they know no proxy; leave out --reverse, or --proxy-auth"
            " (with WIRETAPE_PROXY_AUTH and proxy_auth) and listen on 127.0.0.1"
        )


def _unlisted(reverse: Sequence[Reverse], routers: RouterTable) -> Iterator[str]:
    """Yield the upstreams that are recorded because somebody named them, though they are no routers."""
    for one in reverse:
        if routers.find(one.host, one.port) is None:
            yield str(HostPattern(one.host, one.port))


def _replay(merged: Mapping[_Path, Any]) -> ReplaySettings:
    values = {name: merged["replay", name] for name in _SCHEMA["replay"]}  # type: ignore[union-attr]
    rules = MatchRules(
        values["ignore_paths"],
        values["ignore_query"],
        values["volatile"],
        values["patterns"],
        values["profiles"],
    )
    return ReplaySettings(
        values["unlisted"],
        values["repeat"],
        values["timing"],
        values["timing_factor"],
        values["compress"],
        values["fail_on_miss"],
        values["fail_on_unused"],
        rules,
    )


def router_table(hosts: Sequence[str], never_decrypt: Sequence[str]) -> RouterTable:
    """Build the table of config/routers.yaml with these patterns added; both as `Settings` holds them."""
    listed = [
        Router(
            parse_host_pattern(entry["host"]),
            entry["provider"],
            tuple(entry["credentials"]),
            tuple(entry.get("paths", ())),
        )
        for entries in _shipped("routers.yaml").values()
        for entry in entries
    ]
    return RouterTable(listed, map(parse_host_pattern, hosts), map(parse_host_pattern, never_decrypt))


def _shipped(name: str) -> Mapping[str, Any]:
    from addons import configfile  # noqa: PLC0415 - brings the YAML library: 20 ms that not every caller needs

    return configfile.shipped(name)


def _rules(merged: Mapping[_Path, Any], path: _Path) -> HeaderRules:
    return HeaderRules(**{name: merged.get((*path, name), ()) for name in _RULES})


def _check(
    layer: Layer, values: Any, schema: _Schema, path: _Path
) -> Iterator[tuple[_Path, _Key | None, Any]]:
    """Yield every setting of a layer, checked; a host pattern of `headers.hosts` comes without a key."""
    if values is None:  # a section with nothing but comments in it
        return
    if not isinstance(values, Mapping):
        inside = ", ".join(schema)
        raise _error(layer, path, f"expected a mapping (with {inside}), not {values!r:.60}")
    for name, value in values.items():
        here = (*path, str(name))
        if _ANY_HOST in schema:
            here = (*path, _read(layer, here, _HOSTS, name))
            yield here, None, None
            known: _Key | _Schema = schema[_ANY_HOST]
        elif name in schema:
            known = schema[name]
        else:
            raise _error(layer, here, f"unknown key; {_suggest(str(name), schema, path)}")
        if not isinstance(known, _Key):
            yield from _check(layer, value, known, here)
        elif known.many:
            yield here, known, _read_list(layer, here, known, value)
        else:
            yield here, known, _read(layer, here, known, value)


def _read_list(layer: Layer, path: _Path, key: _Key, value: Any) -> tuple[Any, ...]:
    if value is None:
        return ()
    if not isinstance(value, list | tuple):
        raise _error(layer, path, f"expected a list; for example {path[-1]}: [{key.example}]")
    return tuple(_read(layer, path, key, item) for item in value)


def _read(layer: Layer, path: _Path, key: _Key, value: Any) -> Any:
    try:
        return key.read(value, layer.base) if key.is_path else key.read(value)
    except ValueError as exc:
        if key.explains:
            raise _error(layer, path, str(exc)) from exc
        if layer.kind == "file":
            example = f"{path[-1]}: [{key.example}]" if key.many else f"{path[-1]}: {key.example}"
        else:
            example = f"{layer.source}{'=' if layer.kind == 'variable' else ' '}{key.example}"
        raise _error(layer, path, f"{exc}; for example {example}") from exc


def _error(layer: Layer, path: _Path, problem: str) -> ConfigError:
    where = f"{layer.source}: {'.'.join(path)}" if layer.kind == "file" else layer.source
    return ConfigError(f"{where}: {problem}")


def _suggest(name: str, schema: _Schema, path: _Path) -> str:
    near = get_close_matches(name.lower(), schema, n=1)
    if near:
        return f"did you mean {near[0]}?"
    # The same word further down here first, then anywhere: `mode` at the top is meant for `session.mode`.
    elsewhere: dict[str, str] = {}
    for leaf in (*_leaves(schema, path), *_leaves(_SCHEMA, ())):
        elsewhere.setdefault(leaf[-1], ".".join(leaf))
    near = get_close_matches(name.lower(), elsewhere, n=1, cutoff=0.8)
    if near:
        return f"did you mean {elsewhere[near[0]]}?"
    return f"known here: {', '.join(schema)}"


def _leaves(schema: _Schema, path: _Path) -> Iterator[_Path]:
    for name, known in schema.items():
        if isinstance(known, _Key):
            yield (*path, name)
        else:
            yield from _leaves(known, (*path, name))


def _check_known(pattern: str, source: str, routers: RouterTable) -> None:
    if routers.covers(parse_host_pattern(pattern)):
        return
    near = get_close_matches(pattern, [str(router.pattern) for router in routers.routers], n=1, cutoff=0.75)
    meant = f"; did you mean {near[0]}?" if near else ";"
    raise ConfigError(
        f"{source}: headers.hosts.{pattern}: unknown host pattern, it covers no router{meant}"
        f' for a host of your own add hosts: ["{pattern}"]'
    )
