"""Asks a URL as Python's standard library does and prints the status; for any Python 3."""

import sys
import urllib.request

with urllib.request.urlopen(sys.argv[1], timeout=20) as response:  # noqa: S310 - the URL is the caller's
    print(response.status)  # noqa: T201
