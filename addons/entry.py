"""The recorder for mitmdump: `mitmdump -s addons/entry.py --set wiretape_cassette=chat.yaml`.

mitmproxy puts this file's folder first on the path while it loads it; the import below names the installed package.
"""

from addons.standalone import Standalone

addons = [Standalone()]
