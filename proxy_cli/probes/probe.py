"""Asks a URL as Python's standard library does and prints the status; for any Python 3."""

import sys
import urllib.error
import urllib.request

try:
    status = urllib.request.urlopen(sys.argv[1], timeout=20).status  # noqa: S310 - the URL is the caller's
except urllib.error.HTTPError as error:
    status = error.code
print(status)  # noqa: T201
