from __future__ import annotations

import pytest
from hypothesis import strategies as st


@pytest.fixture(scope="session", autouse=True)
def _tables_of_characters() -> None:
    """Let hypothesis make its tables of characters before a test draws text: they take seconds, once per Python.

    It keeps them in .hypothesis. The test that happened to be the first one there was blamed for slow input.
    """
    st.text().validate()
