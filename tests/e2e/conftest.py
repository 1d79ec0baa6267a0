"""What the end-to-end tests share."""

from __future__ import annotations

from tests.support.fixtures import new_name as new_name
from tests.support.fixtures import shared_wiretape as shared_wiretape
from tests.support.fixtures import wiretape as wiretape
from tests.support.toolchains import curl as curl
from tests.support.toolchains import go_client as go_client
from tests.support.toolchains import node as node
from tests.support.toolchains import sdk_python as sdk_python
from tests.support.toolchains import tool_cache as tool_cache
