"""What passes over the control API: HTTP with JSON on a Unix socket, so that `curl --unix-socket` works too.

    GET    /status               the daemon and its sessions
    GET    /health, /ready       whether the daemon lives; whether all is well, with status 503 and why if not
    GET    /metrics              counters in Prometheus' text format
    GET    /sessions/NAME/proxy  its listener's URL, with the password where there is one; the common port's, if any
    POST   /sessions             open one: `SessionRequest` as an object; answers with the session's status
    PUT    /sessions/NAME/mode   change its mode: {"mode": M, "drain_seconds": S}; answers with its status
    DELETE /sessions/NAME        close one: drain, finish the cassette; answers with its summary
    POST   /shutdown             close all sessions and end

An error is `{"error": {"kind": "StartError", "message": "...", "exit_code": 3}}` with a status of 4xx or 5xx.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from addons.access import LOOPBACK
from addons.errors import ConfigError, ControlError, ProxyError, StartError
from cassette.errors import CassetteError

API = 1
"""Both sides must speak the same; it grows when a message changes its meaning."""


class StoppingError(StartError):
    """The daemon takes no more sessions, because it ends; another one can be started in a moment."""


_KINDS: dict[str, type[ProxyError]] = {
    kind.__name__: kind for kind in (ConfigError, ControlError, ProxyError, StartError, StoppingError)
}


@dataclass(frozen=True, slots=True)
class SessionRequest:
    """Everything the daemon needs to open a session; settings are resolved by the one who asks."""

    name: str
    cassette: Path
    append: bool
    overwrite: bool
    mode: str
    layout: str
    host_field: str
    headers: dict[str, Any]
    hosts: list[str]
    never_decrypt: list[str]
    max_body: int
    drain_seconds: float
    replay: dict[str, Any]
    on_record_failure: str = "pass"
    keep_timing: bool = False
    port: int = 0
    listen: str = LOOPBACK
    login: str | None = field(default=None, repr=False)
    """USER:PASSWORD that clients have to know."""
    trusted_ca: str | None = None
    connect_to: list[str] = field(default_factory=list)
    upstream_proxy: str | None = field(default=None, repr=False)
    """`none` for none; None for the one that the daemon's environment names."""
    no_proxy: str | None = None
    """Hosts that are reached past that proxy, as in NO_PROXY; None: all go through it."""
    client_cert: str | None = None
    reverse: list[str] = field(default_factory=list)
    """Listeners for clients that know no proxy: `URL` or `PORT=URL`."""
    owner_pid: int | None = None
    """A process whose end closes the session: the one that `wiretape run` is."""

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return asdict(self) | {"cassette": str(self.cassette)}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> SessionRequest:
        """Undo `to_json`; raises ControlError for anything else."""
        try:
            return cls(**(values | {"cassette": Path(values["cassette"])}))
        except (KeyError, TypeError) as exc:
            raise ControlError(f"not a session request: {exc}") from exc


def parse_switch(body: dict[str, Any]) -> tuple[str, float | None]:
    """Return the mode that a session is to have, and for how long what is recorded may go on before."""
    mode, seconds = body.get("mode"), body.get("drain_seconds")
    if not isinstance(mode, str) or isinstance(seconds, bool) or not isinstance(seconds, int | float | None):
        raise ConfigError('expected a mode, like {"mode": "replay-only"}, and perhaps "drain_seconds": 10')
    return mode, seconds


def error_to_json(error: Exception) -> dict[str, Any]:
    """Return the body that reports an error."""
    code = error.exit_code if isinstance(error, ProxyError) else StartError.exit_code
    kind = type(error).__name__ if isinstance(error, ProxyError) else StartError.__name__
    message = str(error) if isinstance(error, (ProxyError, CassetteError)) else f"internal error: {error!r}"
    return {"error": {"kind": kind, "message": message, "exit_code": code}}


def error_from_json(body: dict[str, Any]) -> ProxyError:
    """Return the error that a body reports."""
    error = body.get("error") or {}
    return _KINDS.get(error.get("kind", ""), ControlError)(error.get("message", "the daemon failed"))
