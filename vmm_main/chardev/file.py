"""A chardev to a file: output only, to a file that must not exist before."""

from __future__ import annotations

import os

from vmm_main.chardev.backend import ChardevBackend
from vmm_main.chardev.host_stream import OutputStream
from vmm_main.errors import ConfigurationError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vmm_main.chardev.backend import FrontEnd
    from vmm_main.event_loop import EventLoop
    from vmm_main.fd_sets import FdSets
    from vmm_main.vm_config import ChardevConfig

_ALLOWED = "allowed is a file that doesn't exist, in a directory that can be written"


class FileChardev(ChardevBackend):
    """Appends what the guest sends. Nobody is on the other side, so nothing ever comes back.

    Behind /dev/fdset may be a pipe to a log daemon, which can be slow or end.
    """

    __slots__ = ("_made", "_output")

    def __init__(self, config: ChardevConfig, loop: EventLoop, fd_sets: FdSets) -> None:
        """Makes the file, or takes the descriptor that was handed over for it.

        Raises:
            ConfigurationError: It exists, or can't be made.
        """
        super().__init__(config)
        assert config.path is not None
        named = config.asked_as
        self._made: tuple[int, int] | None = None  # device and inode of the file, if it was made here
        given = fd_sets.find(config.path, named, write=True)
        if given is not None:
            self._output = self._stream(loop, given)
            return
        try:
            fd = os.open(
                config.path,
                os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOCTTY,
                0o600,
            )
        except FileExistsError as error:
            raise ConfigurationError(f"{named}: the file exists; it must not") from error
        except OSError as error:
            raise ConfigurationError(f"{named}: can't make the file: {error.strerror}; {_ALLOWED}") from error
        status = os.fstat(fd)
        self._made = (status.st_dev, status.st_ino)
        self._output = self._stream(loop, fd)
        os.close(fd)

    def _stream(self, loop: EventLoop, fd: int) -> OutputStream:
        return OutputStream(loop, fd, shared=True, on_room=self._on_room, on_drop=self.count_dropped)

    def _on_room(self) -> None:
        assert self.front_end is not None
        self.front_end.output_possible()

    def attach(self, front_end: FrontEnd) -> None:
        """Connects the front end."""
        self.front_end = front_end

    def write(self, data: bytes) -> int:
        """Appends data. A full disk takes the bytes from the log, not the guest from its work."""
        return self._output.write(data)

    def input_wanted(self) -> None:
        """Nothing ever comes."""

    @property
    def connected(self) -> bool:
        """A file is always there."""
        return True

    @property
    def open_fds(self) -> list[int]:
        """The file."""
        return self._output.open_fds

    def describe(self) -> str:
        """As QEMU's query-chardev has it."""
        return "file"

    def flush_at_exit(self, data: bytes, deadline_s: float) -> int:
        """Appends data."""
        return self._output.flush(data, deadline_s)

    def close(self) -> None:
        """Closes the file, which stays; but not if there was never a VM, or the next try would find it."""
        self._output.close()
        if self._made is not None and self.on_quit is None:
            self._remove_if_empty()

    def _remove_if_empty(self) -> None:
        assert self.config.path is not None
        try:
            status = os.stat(self.config.path, follow_symlinks=False)
        except FileNotFoundError:
            return
        if (status.st_dev, status.st_ino) == self._made and status.st_size == 0:
            os.unlink(self.config.path)
