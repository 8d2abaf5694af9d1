"""The addresses of services, as people write them on a command line or in a configuration file. No I/O."""

import re
from urllib.parse import urlsplit

from tallystick_provisioning.errors import AddressError

_ERRNO = re.compile(r"^\[Errno -?\d+\] ")


def check(url: str) -> str:
    """The address without a slash at its end; AddressError unless it is a plain http or https one."""
    try:
        parts = urlsplit(url)
        well_formed = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        well_formed = False
    if not well_formed or not url.isprintable() or " " in url:
        raise AddressError(f"{url!r} is no http or https address like https://ledger.example")
    if parts.username is not None or parts.query or parts.fragment:
        raise AddressError(f"{url!r}: an address has no user, no query and no fragment")
    return url.rstrip("/")


def no_answer(url: str, error: Exception) -> str:
    """One sentence for a foreign network error."""
    return f"{url}: no answer: {_ERRNO.sub('', str(error)) or type(error).__name__}"
