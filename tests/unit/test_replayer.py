from __future__ import annotations

import pytest
from mitmproxy import http

from addons.replayer import accepts_gzip


@pytest.mark.parametrize(
    ("lines", "accepted"),
    [
        ([], False),
        ([""], False),
        (["identity"], False),
        (["gzip"], True),
        (["br, GZIP ; q=0.5"], True),
        (["br", "x-gzip"], True),
        (["gzip;q=0"], False),
        (["gzip; q=0.000, *"], False),
        (["gzip;q=0.001"], True),
        (["*"], True),
        (["*;q=0"], False),
        (["gzipped"], False),
        (["identity;q=0"], False),
        (["identity;q=0, *"], True),
        (["identity;q=0, *;q=0, gzip"], True),
    ],
)
def test_gzip_is_accepted_where_the_client_asks_for_it(lines: list[str], accepted: bool) -> None:
    assert accepts_gzip(http.Headers([(b"Accept-Encoding", line.encode()) for line in lines])) is accepted
