"""The end of a file that main made: a socket, the pid file."""

from __future__ import annotations

import posix as os

from vmm_main.log import Logger

_log = Logger("files")


def remove_made_file(path: str, identity: tuple[int, int]) -> None:
    """Removes it, unless somebody has put another in its place.

    Root's main has no privileges any more by then: in a directory that belongs to somebody else the file
    stays, and the log says so.

    Args:
        path: Where it was made.
        identity: Its device and inode then.
    """
    try:
        status = os.lstat(path)
        if (status.st_dev, status.st_ino) == identity:
            os.unlink(path)
    except FileNotFoundError:
        return
    except OSError as error:
        _log.warning(f"{path} stays: it can't be removed without privileges: {error.strerror}")
