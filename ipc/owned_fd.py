"""A descriptor with one owner: closed once, and -1 from then on."""

from __future__ import annotations

import posix as os


class OwnedFd:
    """Owns a descriptor until it is closed or released."""

    __slots__ = ("_fd",)

    def __init__(self, fd: int) -> None:
        """Takes fd over."""
        self._fd = fd

    @property
    def fd(self) -> int:
        """The descriptor.

        Raises:
            ValueError: It is closed.
        """
        if self._fd < 0:
            raise ValueError("the descriptor is closed")
        return self._fd

    @property
    def is_open(self) -> bool:
        """Whether it is still owned here."""
        return self._fd >= 0

    def release(self) -> int:
        """Gives the descriptor to the caller, who owns it from now on."""
        fd, self._fd = self.fd, -1
        return fd

    def close(self) -> None:
        """Closes the descriptor; closing twice does nothing."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)

    def __repr__(self) -> str:
        return f"OwnedFd({self._fd})"


def close_all(descriptors: tuple[int, ...] | list[int]) -> None:
    """Closes plain descriptors, each of them whatever happens to the others."""
    error: OSError | None = None
    for fd in descriptors:
        try:
            os.close(fd)
        except OSError as caught:
            error = caught
    if error is not None:
        raise error
