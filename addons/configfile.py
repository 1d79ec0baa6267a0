"""YAML files of settings: the two that come with the program, and a user's own. Reads, and judges no key.

Apart from `addons.settings`, which imports it when a file is read: the YAML library is slow to import.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from addons.errors import ConfigError

# In the source tree and in an installed wheel alike, `config` lies beside the packages.
_SHIPPED = Path(__file__).resolve().parent.parent / "config"


@cache
def shipped(name: str) -> Mapping[str, Any]:
    """Return a file that comes with the program, `default.yaml` or `routers.yaml`; not to be changed."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    data: Mapping[str, Any] = yaml.load((_SHIPPED / name).read_bytes(), Loader=loader)  # noqa: S506 - safe
    return data


def read(path: Path) -> Mapping[str, Any]:
    """Read a user's file. Raises ConfigError, one line, when it cannot be read or is no mapping in YAML."""
    try:
        data = yaml.load(path.read_bytes(), Loader=_StrictLoader)  # noqa: S506 - derived from SafeLoader
    except OSError as exc:
        raise ConfigError(f"{path}: cannot be read: {exc.strerror}") from exc
    except yaml.MarkedYAMLError as exc:
        raise ConfigError(f"{path}: {_explain(exc)}") from exc
    except (yaml.YAMLError, ValueError) as exc:  # ValueError: no UTF-8, or a date such as 2020-13-01
        raise ConfigError(f"{path}: not YAML: {' '.join(str(exc).split()):.120}") from exc
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: holds no settings; write them like hosts: [api.example.com]")
    return data


class _StrictLoader(yaml.SafeLoader):
    """Refuses a key that stands twice: PyYAML lets the second win, and the first's rules would be lost."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {key.value!r} stands there twice", key.start_mark
                    )
                seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


def _explain(error: yaml.MarkedYAMLError) -> str:
    line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
    problem = " ".join((error.problem or "not YAML").split())
    if "alias" in f"{error.context} {problem}":
        problem = 'a text that begins with * needs quotes, for example "*.example.com"'
    return line + problem
