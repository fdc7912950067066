"""A chardev to a file: output only, to a file that must not exist before."""

from __future__ import annotations

import os

from vmm_main.chardev.backend import ChardevBackend
from vmm_main.errors import ConfigurationError
from vmm_main.log import Logger

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vmm_main.chardev.backend import FrontEnd
    from vmm_main.fd_sets import FdSets
    from vmm_main.vm_config import ChardevConfig

_log = Logger("chardev")


class FileChardev(ChardevBackend):
    """Appends what the guest sends. Nobody is on the other side, so nothing ever comes back."""

    __slots__ = ("_fd",)

    def __init__(self, config: ChardevConfig, fd_sets: FdSets) -> None:
        """Makes the file.

        Raises:
            ConfigurationError: It exists, or can't be made.
        """
        super().__init__(config)
        assert config.path is not None
        given = fd_sets.find(config.path, write=True)
        if given is not None:
            self._fd = os.dup(given)
            return
        named = f"-chardev file,id={config.chardev_id},path={config.path}"
        try:
            self._fd = os.open(
                config.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOCTTY, 0o600
            )
        except FileExistsError as error:
            raise ConfigurationError(f"{named}: the file exists; it must not") from error
        except OSError as error:
            raise ConfigurationError(f"{named}: can't make the file: {error.strerror}") from error

    def attach(self, front_end: FrontEnd) -> None:
        """Connects the front end."""
        self.front_end = front_end

    def write(self, data: bytes) -> int:
        """Appends data. A full disk takes the bytes from the log, not the guest from its work."""
        try:
            written = os.write(self._fd, data)
        except OSError as error:
            _log.warning_once(f"{self.describe()}: can't write: {error.strerror}; output is dropped")
            written = 0
        self.dropped_bytes += len(data) - written
        return len(data)

    def input_wanted(self) -> None:
        """Nothing ever comes."""

    @property
    def connected(self) -> bool:
        """A file is always there."""
        return True

    def describe(self) -> str:
        """As QEMU's query-chardev has it."""
        return "file"

    def flush_at_exit(self, data: bytes, deadline_s: float) -> int:  # noqa: ARG002
        """Appends data; a file takes it at once."""
        return self.write(data)

    def close(self) -> None:
        """Closes the file, which stays."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
