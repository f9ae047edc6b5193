"""Check the proxies that the environment names, before anything is requested."""

import re
import sys
from urllib.request import getproxies

from yarl import URL


def exit_if_a_proxy_is_unusable():
    """Exit if a proxy of the environment is not an http or https URL with a host.

    curl accepts `127.0.0.1:8080`, but with aiohttp each request would fail.

    Raises:
        SystemExit: the line names the variable.
    """
    for scheme, proxy in getproxies().items():
        if scheme in ("http", "https", "ws", "wss") and not is_usable(proxy):
            shown = re.sub(r"(^|//)[^/].*@", r"\1***@", proxy)  # without the password
            sys.exit(
                f"{scheme}_proxy is {shown!r}, which is not a proxy like http://host:8080. "
                "Correct or unset it, then run: python database.py"
            )


def is_usable(proxy):
    """Return whether aiohttp can use a proxy; it ignores an https proxy and connects directly."""
    try:
        url = URL(proxy)
    except ValueError:
        return False
    return url.scheme in ("http", "https") and bool(url.host)
