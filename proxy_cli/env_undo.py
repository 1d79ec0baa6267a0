"""What `wiretape env` keeps of the variables that it replaces, so that `wiretape env --unset` can put them back. Pure.

It travels in the environment itself, as one variable with a JSON object: name to value, or to null where there was
none. A second `wiretape env` in the same shell adds to it and changes nothing in it, so the first values survive.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

SAVED_VARIABLE = "WIRETAPE_SAVED"


def with_saved(variables: Mapping[str, str], env: Mapping[str, str]) -> dict[str, str]:
    """Return `variables`, about to be set in `env`, and the variable that keeps what they replace."""
    before = {name: env.get(name) for name in variables} | saved(env)
    return {**variables, SAVED_VARIABLE: json.dumps(before, separators=(",", ":"))}


def undone(env: Mapping[str, str]) -> dict[str, str | None]:
    """Return the variables to set again, and as None those to remove; nothing where `env` has none of ours."""
    before = saved(env)
    return {**before, SAVED_VARIABLE: None} if before else {}


def saved(env: Mapping[str, str]) -> dict[str, str | None]:
    """Return what an environment keeps; nothing when the variable is missing or is not of our making."""
    try:
        read = json.loads(env.get(SAVED_VARIABLE, ""))
    except ValueError:
        return {}
    if not isinstance(read, dict) or not all(isinstance(value, str | None) for value in read.values()):
        return {}
    return read
