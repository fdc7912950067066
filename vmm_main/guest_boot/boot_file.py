"""A file the guest boots from: opened once, kept for every later boot, and refused in one line by name."""

from __future__ import annotations

import posix as os

from vmm_main.errors import GuestImageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vmm_main.guest_boot.boot_memory import BootMemory

# inode(7). The module `stat` is off the start-up path.
_FILE_TYPE_MASK = 0o170000
_REGULAR_FILE = 0o100000
_FILE_TYPES = {
    0o140000: "a socket",
    0o120000: "a symbolic link",
    0o060000: "a block device",
    0o040000: "a directory",
    0o020000: "a character device",
    0o010000: "a FIFO",
}


class BootFile:
    """One kernel or initrd file, held open until close().

    Attributes:
        size_bytes: How long the file was when look_again() was last called.
    """

    __slots__ = ("_allowed", "_fd", "_option", "_path", "size_bytes")

    def __init__(self, option: str, path: str, allowed: str, fd: int | None = None) -> None:
        """Opens the file, or duplicates a descriptor that the caller has for it.

        Args:
            option: The option that named the file ("-kernel"), for messages.
            path: The file's name as the user wrote it.
            allowed: What would have been right, for messages ("a regular file").
            fd: A descriptor to read from instead of opening path; it stays the caller's.

        Raises:
            GuestImageError: The file can't be opened, is no regular file or is empty.
        """
        self._option = option
        self._path = path
        self._allowed = allowed
        self._fd = -1
        try:
            # O_NONBLOCK: a FIFO without a writer must be refused, not waited for.
            flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
            self._fd = os.open(path, flags) if fd is None else os.dup(fd)
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or str(error)
            raise self.refuse(f"can't be opened ({why})") from error
        self.size_bytes = 0
        try:
            self.look_again()
            self.read(0, 1)  # a descriptor that came ready-made may be open for writing only
        except GuestImageError:
            self.close()
            raise

    @property
    def told(self) -> tuple[str, int]:
        """How the user asked for it, and the descriptor: for an audit."""
        return f"{self._option} {self._path}", self._fd

    def close(self) -> None:
        """Closes the descriptor; closing twice does nothing."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def refuse(self, found: str, allowed: str | None = None) -> GuestImageError:
        """The error that says what was found in this file; the caller raises it."""
        return GuestImageError(f"{self._option} {self._path}: {found}, allowed: {allowed or self._allowed}")

    def look_again(self) -> None:
        """Takes the file's size anew: between two boots it may have been rewritten.

        Raises:
            GuestImageError: It is no regular file or has become empty.
        """
        status = os.fstat(self._fd)
        file_type = status.st_mode & _FILE_TYPE_MASK
        if file_type != _REGULAR_FILE:
            raise self.refuse(f"is {_FILE_TYPES.get(file_type, 'no regular file')}")
        if status.st_size == 0:
            raise self.refuse("is empty")
        self.size_bytes = status.st_size

    def read(self, offset: int, length: int) -> bytes:
        """Reads exactly length bytes; meant for headers.

        Raises:
            GuestImageError: The file ends before, or can't be read.
        """
        try:
            content = os.pread(self._fd, length, offset)
        except OSError as error:
            raise self.refuse(f"can't be read ({error.strerror})") from error
        if len(content) != length:
            raise self.truncated(offset + length)
        return content

    def load(self, memory: BootMemory, offset: int, gpa: int, length: int) -> None:
        """Reads length bytes from offset straight into guest memory at gpa.

        Raises:
            GuestImageError: The file ends before, or can't be read.
        """
        if offset + length > self.size_bytes:
            raise self.truncated(offset + length)
        try:
            loaded_bytes = memory.load_file(self._fd, offset, gpa, length)
        except OSError as error:
            raise self.refuse(f"can't be read ({error.strerror})") from error
        if loaded_bytes < length:  # it shrank after look_again()
            raise self.truncated(offset + length)

    def truncated(self, needed_bytes: int) -> GuestImageError:
        """The error for a file that ends before its own header says it does."""
        has_bytes = os.fstat(self._fd).st_size
        return self.refuse(f"is truncated (it has {has_bytes} bytes, its header asks for {needed_bytes})")
