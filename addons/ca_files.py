"""What the files of a CA are called that the proxy signs with, and when it changes from one to the next. Pure names."""

from __future__ import annotations

from datetime import timedelta

BASENAME = "mitmproxy"
"""What mitmproxy's own files of a CA begin with (addons/tlsconfig.py, CONF_BASENAME)."""
FORMER = "former"
"""What the file of a CA begins with that was replaced while clients may still know it alone."""
CHANGE_BEFORE = timedelta(days=1)
"""Before the end of the old CA; for clients whose clock is ahead."""
