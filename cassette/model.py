"""What a cassette holds, as go-vcr v4 models it; nothing here reads or writes.

Text fields are `str`. Go strings are bytes, so a byte that is not UTF-8 is carried as a lone surrogate
(the `surrogateescape` error handler). Bodies are `bytes`.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

Values = Mapping[str, tuple[str, ...]]
"""Header or form fields: name to values, in order. The order of the names does not matter: writing sorts them."""


class Layout(enum.Enum):
    """How the YAML is laid out; the content is the same."""

    CHARM = "charm"
    """Indent 2, compact sequences (`go.yaml.in/yaml/v4`, as Charm sets it)."""
    GO_VCR = "go-vcr"
    """Indent 4, go-vcr's own default."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request as go-vcr saw it, before Go's transport added to it."""

    method: str
    url: str
    body: bytes = b""
    headers: Values = field(default_factory=dict)
    form: Values = field(default_factory=dict)
    host: str = ""
    proto: str = "HTTP/1.1"
    proto_major: int = 1
    proto_minor: int = 1
    content_length: int = 0
    transfer_encoding: tuple[str, ...] = ()
    trailer: Values = field(default_factory=dict)
    remote_addr: str = ""
    request_uri: str = ""


@dataclass(frozen=True, slots=True)
class Response:
    """A response as Go's transport hands it to the client."""

    status: str
    """The whole status text, `200 OK`."""
    code: int
    body: bytes = b""
    headers: Values = field(default_factory=dict)
    proto: str = "HTTP/1.1"
    proto_major: int = 1
    proto_minor: int = 1
    transfer_encoding: tuple[str, ...] = ()
    trailer: Values = field(default_factory=dict)
    content_length: int = -1
    uncompressed: bool = False
    duration_ns: int = 0
    """From the start of the request to the response's headers."""


@dataclass(frozen=True, slots=True)
class Interaction:
    """One exchange as the cassette holds it."""

    id: int
    request: Request
    response: Response
    interrupted: str = ""
    """Why the exchange did not complete. Set in `NAME.interrupted.yaml` only, where it is a field of its own
    behind the response; go-vcr ignores it."""


@dataclass(frozen=True, slots=True)
class Cassette:
    """A whole cassette: interactions in order, and the layout that it is written in."""

    interactions: tuple[Interaction, ...] = ()
    version: int = 2
    layout: Layout = Layout.CHARM
