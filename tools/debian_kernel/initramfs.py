"""Writes an initramfs: a cpio archive in the "newc" format, made without being root and without cpio.

Source: Documentation/driver-api/early-userspace/buffer-format.rst of Linux. It isn't compressed: unpacking
would cost an emulated CPU more than reading it does.
"""

from __future__ import annotations

import stat
from pathlib import Path
from types import TracebackType


class Initramfs:
    """An initramfs being written, in which everything belongs to root; leaving its `with` block ends it."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._inode = 0
        self._directories: set[str] = set()

    def __enter__(self) -> Initramfs:
        """The archive itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Writes the entry that ends an archive, and closes it."""
        with self._file:
            if error is None:
                self._entry("TRAILER!!!", 0, b"")

    def _entry(self, name: str, mode: int, content: bytes, device: tuple[int, int] = (0, 0)) -> None:
        self._inode += 1
        encoded = name.encode() + b"\0"
        # ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check
        fields = (self._inode, mode, 0, 0, 1, 0, len(content), 0, 0, *device, len(encoded), 0)
        header = b"070701" + b"".join(b"%08X" % field for field in fields)
        for part in (header + encoded, content):
            self._file.write(part + b"\0" * (-len(part) % 4))

    def _parents(self, name: str) -> None:
        for parent in reversed(Path(name).parents[:-1]):
            self.directory(str(parent))

    def directory(self, name: str) -> None:
        """Adds a directory, and those it is in; a second time it does nothing."""
        if name not in self._directories:
            self._directories.add(name)
            self._parents(name)
            self._entry(name, stat.S_IFDIR | 0o755, b"")

    def file(self, name: str, content: bytes, mode: int = 0o644) -> None:
        """Adds a regular file at a path relative to the root."""
        self._parents(name)
        self._entry(name, stat.S_IFREG | mode, content)

    def symlink(self, name: str, target: str) -> None:
        """Adds a symbolic link."""
        self._parents(name)
        self._entry(name, stat.S_IFLNK | 0o777, target.encode())

    def character_device(self, name: str, major: int, minor: int) -> None:
        """Adds a character device node, such as /dev/console, which the kernel opens before it runs /init."""
        self._parents(name)
        self._entry(name, stat.S_IFCHR | 0o600, b"", (major, minor))
