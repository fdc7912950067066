"""The descriptors that QMP's getfd received, by name, until a command takes them."""

from __future__ import annotations

import os

from vmm_main.qmp.qmp_error import QmpError

_NAMES_MAX = 253


class NamedDescriptors:
    """Owns its descriptors."""

    __slots__ = ("_fds",)

    def __init__(self) -> None:
        self._fds: dict[str, int] = {}

    @property
    def named(self) -> list[tuple[str, int]]:
        """All that there are."""
        return list(self._fds.items())

    def keep(self, name: str, fd: int) -> None:
        """Keeps fd under name in place of the one there was; fd is closed if that fails.

        Raises:
            QmpError: the name begins with a digit (then it would be the number of a descriptor), or there are
                too many.
        """
        if name[:1].isdigit() or not name:
            os.close(fd)
            raise QmpError("Parameter 'fdname' expects a name not starting with a digit")
        if name in self._fds:
            os.close(self._fds.pop(name))
        if len(self._fds) >= _NAMES_MAX:
            os.close(fd)
            raise QmpError(f"More than {_NAMES_MAX} named file descriptors: close some")
        self._fds[name] = fd

    def take(self, name: str) -> int:
        """Hands over the descriptor of that name; the caller owns it.

        Raises:
            QmpError: there is none.
        """
        if name not in self._fds:
            raise QmpError(f"File descriptor named '{name}' not found")
        return self._fds.pop(name)

    def close(self, name: str) -> None:
        """Closes the descriptor of that name; see take()."""
        os.close(self.take(name))

    def close_all(self) -> None:
        """Closes every descriptor."""
        while self._fds:
            os.close(self._fds.popitem()[1])
