"""What an opener hands over: a descriptor, and what main has found out about it."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class OpenedResource:
    """One resource of a device.

    Attributes:
        fd: The descriptor; the owner's from now on.
        facts: Added to what CONFIGURE tells the device about itself.
        file_bytes: How large a file the device may write; 0 for what is no file.
    """

    __slots__ = ("facts", "fd", "file_bytes")

    def __init__(self, fd: int, facts: dict[str, Any] | None = None, file_bytes: int = 0) -> None:
        self.fd = fd
        self.facts = {} if facts is None else facts
        self.file_bytes = file_bytes
