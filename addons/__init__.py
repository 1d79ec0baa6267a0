"""The mitmproxy side of wiretape: everything that imports mitmproxy lives here."""
