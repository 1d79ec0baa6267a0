from __future__ import annotations

import json
import subprocess

from hypothesis import given, settings
from hypothesis import strategies as st

from proxy_cli.environment import Shell, format_environment

VALUES = st.lists(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
    | st.text("'\"\\$`\n\r\t !*~#{}()", max_size=20),
    min_size=1,
    max_size=20,
)


@settings(max_examples=60, deadline=None)
@given(VALUES)
def test_a_posix_shell_reads_back_any_value(values: list[str]) -> None:
    variables = {f"V{number}": value for number, value in enumerate(values)}
    script = 'eval "$1"; ' + "; ".join(f"printf '%s\\0' \"$V{number}\"" for number in range(len(values)))
    text = format_environment(variables, Shell.SH)
    done = subprocess.run(["sh", "-c", script, "sh", text], capture_output=True, check=True, timeout=30)
    assert done.stdout.decode().split("\0")[:-1] == values


@given(st.dictionaries(st.text("ABC_", min_size=1), st.text()))
def test_json_reads_back_any_value(variables: dict[str, str]) -> None:
    assert json.loads(format_environment(variables, Shell.JSON)) == variables
