"""-add-fd: descriptors the caller handed over, reachable as /dev/fdset/<set> wherever a path is asked for."""

from __future__ import annotations

import fcntl
import posix as os

from vmm_main.errors import ConfigurationError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vmm_main.vm_config import FdSetEntry

_PREFIX = "/dev/fdset/"


class FdSets:
    """The sets of one VM. The descriptors stay the caller's; whoever uses one duplicates it."""

    __slots__ = ("_sets",)

    def __init__(self, entries: list[FdSetEntry]) -> None:
        """Checks that every descriptor is open, and keeps it from device processes.

        Raises:
            ConfigurationError: One isn't.
        """
        self._sets: dict[int, list[int]] = {}
        for entry in entries:
            try:
                os.set_inheritable(entry.fd, False)
            except OSError as error:
                raise ConfigurationError(
                    f"-add-fd fd={entry.fd},set={entry.set_id}: not an open descriptor; "
                    "allowed is one that the caller left open"
                ) from error
            self._sets.setdefault(entry.set_id, []).append(entry.fd)

    def find(self, path: str | None, named: str, *, write: bool = False) -> int | None:
        """The descriptor that path stands for, or None if path is an ordinary one (or None).

        Args:
            path: As the user wrote it.
            named: The option that names it, for errors.
            write: Whether it must be open for writing; otherwise for reading.

        Raises:
            ConfigurationError: There is no such set, or none of its descriptors is open for that.
        """
        if path is None or not path.startswith(_PREFIX):
            return None
        number = path[len(_PREFIX) :]
        # int() refuses thousands of digits with an error of its own.
        descriptors = self._sets.get(int(number)) if number.isdecimal() and len(number) < 20 else None
        if descriptors is None:
            known = ", ".join(f"{_PREFIX}{set_id}" for set_id in sorted(self._sets)) or "none: see -add-fd"
            raise ConfigurationError(f"{named}: no descriptor set {path}; allowed is {known}")
        wanted = (os.O_WRONLY, os.O_RDWR) if write else (os.O_RDONLY, os.O_RDWR)
        for fd in descriptors:
            if fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE in wanted:
                return fd
        purpose = "writing" if write else "reading"
        raise ConfigurationError(
            f"{named}: none of the descriptors of {path} is open for {purpose}; allowed is a set with one"
        )
