"""NODE_OPTIONS and JAVA_TOOL_OPTIONS: what Node and Java are told there, beside what the user tells them. Pure.

Both are lists of options in one variable, so ours go behind the user's. Ours are found again and replaced, so that a
shell within a shell has them once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

_NODE_OPTION = re.compile(r'\S*"(?:[^"\\]|\\.)*"\S*|\S+')
"""node, src/node_options.cc (ParseNodeOptionsEnvVar): spaces part options, except within double quotes."""

_JAVA_OPTION = re.compile(r"""(?:[^\s"']|"[^"]*"|'[^']*')+""")
"""HotSpot, arguments.cpp (parse_options_buffer): two kinds of quotes, no escapes."""

_EXCEPTED = "http.nonProxyHosts"
_TRUST_STORE = "javax.net.ssl.trustStore"

_DIRECT = ("localhost", "127.*", "[::1]")
"""What Java itself excepts when http.nonProxyHosts is not set; setting it replaces them."""


def node_options(existing: str, preload: Path) -> str:
    """Return NODE_OPTIONS that loads `preload`, too."""
    kept = [each for each in _NODE_OPTION.findall(existing) if not each.rstrip('"').endswith(preload.name)]
    path = str(preload)
    if re.search(r'[\s"\\]', path):
        path = '"' + path.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return " ".join([*kept, f"--require={path}"])


def java_options(existing: str, proxy: str, trust_store: Path, exceptions: Iterable[str]) -> str:
    """Return JAVA_TOOL_OPTIONS that lead to the proxy at a URL and trust what is in `trust_store`.

    `exceptions` are the entries of NO_PROXY. Java reads no login from options; a proxy that wants one answers
    it with 407. The user's own trust store (whose roots are in ours) and proxy are replaced; other options stay.
    """
    parts = urlsplit(proxy)
    options = _JAVA_OPTION.findall(existing)
    properties = {
        "https.proxyHost": str(parts.hostname),
        "https.proxyPort": str(parts.port),
        "http.proxyHost": str(parts.hostname),
        "http.proxyPort": str(parts.port),
        # For https, too.
        _EXCEPTED: "|".join(dict.fromkeys([*_DIRECT, *_excepted(options), *_patterns(exceptions)])),
        _TRUST_STORE: str(trust_store),
        "javax.net.ssl.trustStoreType": "PKCS12",
    }
    kept = [option for option in options if _property(option)[0] not in properties]
    return " ".join([*kept, *(_quoted(f"-D{name}={value}") for name, value in properties.items())])


def java_trust_store(existing: str) -> str:
    """Return the trust store that JAVA_TOOL_OPTIONS names, "" when it names none; the last one counts."""
    named = [value for name, value in map(_property, _JAVA_OPTION.findall(existing)) if name == _TRUST_STORE]
    return named[-1] if named else ""


def _property(option: str) -> tuple[str, str]:
    """Part `-Dname=value`, whose quotes Java takes away wherever they are."""
    name, _, value = re.sub("[\"']", "", option).removeprefix("-D").partition("=")
    return name, value


def _excepted(options: Iterable[str]) -> Iterator[str]:
    for name, value in map(_property, options):
        if name == _EXCEPTED:
            yield from filter(None, value.split("|"))


def _patterns(exceptions: Iterable[str]) -> Iterator[str]:
    """Write entries of NO_PROXY as Java has them; those with a port or a network it has no way to say."""
    for entry in exceptions:
        name = entry.strip().lstrip(".")
        if name == "*" or re.fullmatch(r"\d+(\.\d+){3}", name):
            yield name
        elif name.count(":") > 1 and "/" not in name:
            yield f"[{name.strip('[]')}]"
        elif re.fullmatch(r"[^:/|\s\"']+", name):
            yield from (name, f"*.{name}") if not name.startswith("*") else (name,)


def _quoted(option: str) -> str:
    if not re.search(r"[\s\"']", option):
        return option
    quote = "'" if '"' in option else '"'
    return f"{quote}{option}{quote}"
