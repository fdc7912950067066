"""The file systems that a process sees, as /proc/PID/mountinfo lists them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mount:
    """One.

    Attributes:
        kind: Of file system: "tmpfs".
        point: Where it is.
        options: Of the mount.
        source: The device that it is on, and which folder of it.
    """

    kind: str
    point: str
    options: tuple[str, ...]
    source: str

    @property
    def is_writable(self) -> bool:
        """Whether the mount lets anybody write."""
        return "rw" in self.options

    def __str__(self) -> str:
        return f"{self.kind} on {self.point} ({','.join(self.options)})"


def read_mounts(mountinfo: str) -> list[Mount]:
    """The lines: id, parent, device, root, mount point, options, ..., "-", type, source, options.

    A hostile process may have written them, in its birth certificate: a line that is none is a mount too.
    """
    found = []
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        words, kind = left.split(), right.partition(" ")[0]
        if len(words) < 6:
            words = ["", "", "", "", line, ""]
        options = tuple(words[5].split(","))
        found.append(Mount(kind or "nothing known", words[4], options, f"{words[2]} {words[3]}"))
    return found
