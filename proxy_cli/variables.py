"""The WIRETAPE_* variables of the environment, which is passed in. Imports next to nothing: every command uses it."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches

_PREFIX = "WIRETAPE_"

VARIABLES: Mapping[str, tuple[str, ...]] = {
    "WIRETAPE_COMMON_PORT": ("daemon", "common_port"),
    "WIRETAPE_DRAIN_SECONDS": ("limits", "drain_seconds"),
    "WIRETAPE_HOSTS": ("hosts",),
    "WIRETAPE_HOST_FIELD": ("session", "host_field"),
    "WIRETAPE_KEEP_TIMING": ("session", "keep_timing"),
    "WIRETAPE_LAYOUT": ("session", "layout"),
    "WIRETAPE_LINGER_SECONDS": ("daemon", "linger_seconds"),
    "WIRETAPE_LISTEN": ("session", "listen"),
    "WIRETAPE_LOG_FORMAT": ("daemon", "log_format"),
    "WIRETAPE_LOG_LEVEL": ("daemon", "log_level"),
    "WIRETAPE_MAX_BODY": ("limits", "max_body"),
    "WIRETAPE_METRICS": ("daemon", "metrics"),
    "WIRETAPE_MODE": ("session", "mode"),
    "WIRETAPE_ON_RECORD_FAILURE": ("session", "on_record_failure"),
    "WIRETAPE_PROXY_AUTH": ("session", "proxy_auth"),
    "WIRETAPE_UPSTREAM_CA": ("upstream", "ca"),
    "WIRETAPE_UPSTREAM_PROXY": ("upstream", "proxy"),
    "WIRETAPE_WORKERS": ("daemon", "workers"),
}
"""Variable to the path of the setting that it sets."""

_OTHER_VARIABLES = (
    "WIRETAPE_CONFIG",
    "WIRETAPE_HOME",
    "WIRETAPE_PROXY",
    "WIRETAPE_SAVED",
    "WIRETAPE_SESSION",
    "WIRETAPE_WITHOUT",
)


def hints(env: Mapping[str, str]) -> list[str]:
    """Return a line for every WIRETAPE_ variable that is nearly one of ours; others are left alone."""
    known = (*VARIABLES, *_OTHER_VARIABLES)
    lines = []
    for name in sorted(env):
        if name.upper().startswith(_PREFIX) and name not in known:
            near = get_close_matches(name.upper(), known, n=1, cutoff=0.85)
            if near:
                lines.append(f"{name} is not a setting; did you mean {near[0]}?")
    return lines
