"""What single settings may hold: one function per kind of value, from YAML or text to what the program uses.

Each raises ValueError with what is wrong, without the name of the setting, and never shows a password.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

from addons.access import Address, Login, parse_listen, parse_login
from addons.errors import ConfigError
from addons.reverse import Reverse, parse_reverse
from addons.routing import (
    NO_UPSTREAM_PROXY,
    ConnectTo,
    UpstreamProxy,
    parse_connect_to,
    parse_host_pattern,
    parse_upstream_proxy,
)
from cassette.matchrules import MatchRules

MOST_WORKERS = 64
"""Far more than help; chosen, not measured."""
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,6})?)\s*([kmgt]?i?)b?", re.IGNORECASE | re.ASCII)
_UNITS: dict[str, int] = {"": 1} | {
    prefix + binary: int((1024 if binary else 1000) ** power)
    for power, prefix in enumerate("kmgt", start=1)
    for binary in ("", "i")
}
# RFC 9110, section 5.6.2 (token); `?` and brackets are a glob's.
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_GLOB = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~?\[\]-]+")
_HEADER_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")


def size(value: object) -> int:
    """Read a number of bytes: `1048576`, `256MB` (powers of 1000) or `1GiB` (powers of 1024)."""
    text = str(value).strip() if isinstance(value, int | str) and not isinstance(value, bool) else ""
    parts = _SIZE.fullmatch(text)
    # A bare `i` is no unit.
    if parts is None or (unit := parts[2].lower()) not in _UNITS:
        raise ValueError(f"expected a size in bytes or with a unit, not {_shown(value)}")
    number = round(float(parts[1]) * _UNITS[unit])
    if number < 1:
        raise ValueError("expected a size of at least one byte")
    return number


def seconds(value: object) -> float:
    """Read a duration in seconds, zero or more."""
    number = math.nan
    if isinstance(value, int | float | str) and not isinstance(value, bool):
        with contextlib.suppress(ValueError, OverflowError):
            number = float(value)
    if not (math.isfinite(number) and number >= 0):
        raise ValueError(f"expected a number of seconds, not {_shown(value)}")
    return number


def one_of(*choices: str) -> Callable[[object], str]:
    """Return a function that reads one of these words."""

    def read(value: object) -> str:
        if isinstance(value, str) and value in choices:
            return value
        near = get_close_matches(value.lower(), choices, n=1) if isinstance(value, str) else []
        meant = f"; did you mean {near[0]}?" if near else ""
        raise ValueError(f"expected {_or(choices)}, not {_shown(value)}{meant}")

    return read


mode = one_of("record-only", "record-once", "replay-only", "replay-with-new-episodes", "passthrough")
"""Read a mode by go-vcr's name for it."""


def yes_or_no(value: object) -> bool:
    """Read a truth value; a variable of the environment or an option says it in a word."""
    if isinstance(value, bool):
        return value
    words = {
        "true": True,
        "yes": True,
        "on": True,
        "1": True,
        "false": False,
        "no": False,
        "off": False,
        "0": False,
    }
    if isinstance(value, str) and value.lower() in words:
        return words[value.lower()]
    raise ValueError(f"expected true or false, not {_shown(value)}")


def workers(value: object) -> int:
    """Read a number of processes; `auto` is one for each core that this process may use."""
    if value == "auto":
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    text = str(value) if not isinstance(value, bool) else ""
    if not re.fullmatch(r"[1-9][0-9]?", text) or int(text) > MOST_WORKERS:
        raise ValueError(f"expected a number from 1 to {MOST_WORKERS} or auto, not {_shown(value)}")
    return int(text)


def factor(value: object) -> float:
    """Read a factor, 0 or more."""
    try:
        number = (
            float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else math.nan
        )
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number >= 0):
        raise ValueError(f"expected a number like 0.1 or 2, not {_shown(value)}")
    return number


def ignored_path(value: object) -> str:
    """Read a place in JSON bodies (`cassette.jsonpaths`)."""
    return MatchRules(ignore_paths=(text(value),)).ignore_paths[0]


def volatile_name(value: object) -> str:
    """Read the name of a built-in pattern (`cassette.matchrules.VOLATILE`)."""
    return MatchRules(volatile=(text(value),)).volatile[0]


def volatile_patterns(value: object) -> tuple[tuple[str, str], ...]:
    """Read a mapping of names to regular expressions."""
    if not isinstance(value, Mapping):
        raise ValueError(f"expected a mapping of names to regular expressions, not {_shown(value)}")
    return MatchRules(patterns=tuple((str(name), text(each)) for name, each in value.items())).patterns


def profile_name(value: object) -> str:
    """Read the name of a dialect's profile (`cassette.profiles`), or `auto`."""
    return MatchRules(profiles=(text(value),)).profiles[0]


def text(value: object) -> str:
    """Read a text that is not empty."""
    if not isinstance(value, str) or not value:
        raise ValueError(f"expected a text, not {_shown(value)}")
    return value


def host_pattern(value: object) -> str:
    """Read a host pattern; the text comes back in its one spelling."""
    if not isinstance(value, str):
        raise ValueError(f"expected a host or a pattern of hosts, not {_shown(value)}")
    try:
        return str(parse_host_pattern(value))
    except ConfigError as exc:
        raise ValueError(exc.message) from exc


def header_name(value: object) -> str:
    """Read the name of a header or a glob of names."""
    if not isinstance(value, str) or not _HEADER_GLOB.fullmatch(value):
        raise ValueError(f"expected the name of a header or a glob like x-ratelimit-*, not {_shown(value)}")
    return value


def full_header_name(value: object) -> str:
    """Read the name of one header, no glob: what is unsafe is said name by name."""
    if not isinstance(value, str) or not _HEADER_GLOB.fullmatch(value):
        raise ValueError(f"expected the name of a header, not {_shown(value)}")
    if "*" in value or not _HEADER_NAME.fullmatch(value):
        raise ValueError(f"{value!r} is a glob; credentials are kept one by one, by their full names")
    return value


def replacements(value: object) -> tuple[tuple[str, str], ...]:
    """Read a mapping of names of headers, or globs, to values."""
    if not isinstance(value, Mapping):
        raise ValueError(f"expected a mapping of names of headers to values, not {_shown(value)}")
    for name, text in value.items():
        header_name(name)
        if not isinstance(text, str):
            raise ValueError(f"the value for {name} is not a text ({_kind(text)}); put it in quotes")
        if not _HEADER_VALUE.fullmatch(text):
            raise ValueError(f"the value for {name} holds a line break or a control character")
    return tuple(value.items())


def connect_to(value: object) -> ConnectTo:
    """Read HOST:PORT:ADDR:PORT."""
    if not isinstance(value, str):
        raise ValueError(f"expected HOST:PORT:ADDR:PORT as a text, not {_kind(value)}; put it in quotes")
    try:
        return parse_connect_to(value)
    except ConfigError as exc:
        raise ValueError(exc.message) from exc


def upstream_proxy(value: object) -> UpstreamProxy | Literal["none"] | None:
    """Read the URL of a proxy; `none`, or nothing between the quotes, for none; None is what the environment says."""
    if value is None:
        return None
    if value in ("", NO_UPSTREAM_PROXY):
        return NO_UPSTREAM_PROXY
    if not isinstance(value, str):
        raise ValueError(f"expected the URL of a proxy, not {_kind(value)}")
    try:
        return parse_upstream_proxy(value)
    except ConfigError as exc:
        raise ValueError(exc.message) from exc


def listen(value: object) -> str:
    """Read an IP address to listen on."""
    if not isinstance(value, str):
        raise ValueError(f"expected an address like 127.0.0.1, not {_shown(value)}; put it in quotes")
    try:
        return parse_listen(value)
    except ConfigError as exc:
        raise ValueError(exc.message) from exc


def login(value: object) -> Login | None:
    """Read USER:PASSWORD; None is none."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise ValueError(f"expected USER:PASSWORD, not {_kind(value)}; put it in quotes")
    try:
        return parse_login(value)
    except ConfigError as exc:
        raise ValueError(exc.message) from exc


def address(value: object) -> Address | None:
    """Read HOST:PORT, an IPv6 address in brackets; None is none."""
    if value is None:
        return None
    host, _, port = value.rpartition(":") if isinstance(value, str) else ("", "", "")
    if not host or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
        raise ValueError(f"expected HOST:PORT, not {_shown(value)}")
    return Address(host.removeprefix("[").removesuffix("]"), int(port))


def certificates(value: object, base: Path) -> Path | None:
    """Read the path of a PEM file of certificates, relative to `base`; None is none. Looks into the file."""
    if value is None:
        return None
    if not isinstance(value, str | Path) or not str(value):
        raise ValueError(f"expected the path of a PEM file, not {_shown(value)}")
    path = base / Path(value).expanduser()
    try:
        text = path.read_bytes()
    except OSError as exc:
        raise ValueError(f"{path} cannot be read: {exc.strerror}") from exc
    if b"-----BEGIN CERTIFICATE-----" not in text:
        raise ValueError(f"{path} is no PEM file of certificates: it has no line -----BEGIN CERTIFICATE-----")
    return path


def client_certificate(value: object, base: Path) -> Path | None:
    """Read the path of a PEM file that holds a certificate and its key; None is none. Looks into the file."""
    if value is None:
        return None
    path = certificates(value, base)
    assert path is not None
    import ssl  # noqa: PLC0415 - 10 ms that not every caller needs

    def ask() -> str:
        # Whoever reads the file at each connection cannot ask for a password.
        raise ValueError(
            f"the key in {path} is encrypted; write it without a password, readable by you alone"
        )

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(path, password=ask)
    except ssl.SSLError as exc:
        raise ValueError(f"{path} does not hold a certificate and its key") from exc
    return path


def reverse(value: object) -> Reverse:
    """Read the upstream of a listener, with the port to listen on or without."""
    if not isinstance(value, str):
        raise ValueError(f"expected a URL like https://api.openai.com, not {_shown(value)}")
    try:
        return parse_reverse(value)
    except ConfigError as exc:
        raise ValueError(exc.message) from exc


def port(value: object) -> int | None:
    """Read a port; None is none."""
    if value is None:
        return None
    text = str(value).strip() if isinstance(value, int | str) and not isinstance(value, bool) else ""
    if not (text.isascii() and text.isdecimal() and len(text) <= 5 and 1 <= int(text) <= 65535):
        raise ValueError(f"expected a port from 1 to 65535, not {_shown(value)}")
    return int(text)


def _or(choices: tuple[str, ...]) -> str:
    return choices[0] if len(choices) == 1 else f"{', '.join(choices[:-1])} or {choices[-1]}"


def _shown(value: object) -> str:
    """Show a wrong value if it is short, else its kind."""
    text = repr(value)
    return text if isinstance(value, str | int | float) and len(text) <= 60 else _kind(value)


def _kind(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "yes or no"
    kinds: tuple[tuple[type, str], ...] = (
        (str, "a text"),
        (int, "a number"),
        (float, "a number"),
        (list, "a list"),
        (dict, "a mapping"),
    )
    return next((name for kind, name in kinds if isinstance(value, kind)), f"a {type(value).__name__}")
