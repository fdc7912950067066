"""Where the VM's QMP socket is: a path, or the address as it is on the VM's own command line."""

from __future__ import annotations

import os

_ALLOWED = "allowed is the path of a QMP socket"


def socket_path(address: str) -> str:
    """The path that is meant.

    Args:
        address: A path, or unix:PATH with the keys that -qmp has after it.

    Raises:
        ValueError: It names no socket; the text says what is allowed.
    """
    if not address:
        raise ValueError(f"its path is empty; {_ALLOWED}")
    if os.path.exists(address):
        return address
    kind, colon, rest = address.partition(":")
    if colon and kind.lower() == "unix":
        path = _first_value(rest)
        if not path:
            raise ValueError(f"{address} has no path; {_ALLOWED}")
        return path
    if colon and kind.lower() == "chardev":
        raise ValueError(f"{address} is one of the VM's chardevs; allowed is its socket's path")
    if address.lower() == "stdio":
        raise ValueError(f"{address} can't be joined; {_ALLOWED}")
    path = _first_value(address)
    if path != address and os.path.exists(path):
        raise ValueError(f"{address} isn't there; {_ALLOWED}: {path}")
    return address


def _first_value(text: str) -> str:
    """What is before the first comma; two stand for one that is meant."""
    return text.replace(",,", "\0").partition(",")[0].replace("\0", ",")
