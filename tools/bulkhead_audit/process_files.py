"""/proc/PID of one process."""

from __future__ import annotations

import os


class UnreadableError(Exception):
    """The kernel doesn't show this to whoever runs the audit; the text says what and why."""


class GoneError(Exception):
    """It isn't there (any more): the process, or a thread or descriptor of it."""


class ProcessFiles:
    """The folder, held open: what is read belongs to this process and to no other that gets its number."""

    def __init__(self, pid: int) -> None:
        """Opens it.

        Raises:
            GoneError: There is no such process.
        """
        self.pid = pid
        try:
            self._folder = os.open(f"/proc/{pid}", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise GoneError(f"process {pid}: {error.strerror}") from error

    def text(self, name: str) -> str:
        """What a file says."""
        with _Refusals(name):
            fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._folder)
            with open(fd, "rb") as file:
                return file.read().decode("utf-8", "backslashreplace")

    def link(self, name: str) -> str:
        """Where a link leads."""
        with _Refusals(name):
            return os.readlink(name, dir_fd=self._folder)

    def stat(self, name: str) -> os.stat_result:
        """What a name stands for; a link's target."""
        with _Refusals(name):
            return os.stat(name, dir_fd=self._folder)

    def identity(self, name: str) -> dict[str, int]:
        """Device and inode of what a name stands for, as entitlements have them."""
        known = self.stat(name)
        return {"device": known.st_dev, "inode": known.st_ino}

    def names(self, name: str) -> list[str]:
        """What is in a folder."""
        with _Refusals(name):
            fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._folder)
            try:
                return os.listdir(fd)
            finally:
                os.close(fd)

    def close(self) -> None:
        """Lets go of it."""
        os.close(self._folder)


class _Refusals:
    """Turns what the kernel answers into UnreadableError or GoneError."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, FileNotFoundError | ProcessLookupError):
            raise GoneError(f"{self._name}: {error.strerror}") from error
        if isinstance(error, OSError):
            raise UnreadableError(f"{self._name}: {error.strerror}") from error
