"""What a chardev back end and the thing in front of it (UART, console, QMP) are to each other.

Flow control both ways, without a buffer in between: a back end reads from the host only as much as its front
end has room for, and takes from the front end only as much as the host takes. So a slow reader can't make
memory grow, and whoever owns the bytes decides what is dropped.
"""

from __future__ import annotations

from vmm_main.log import Logger

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from vmm_main.vm_config import ChardevConfig

_log = Logger("chardev")


class FrontEnd:
    """The side towards the guest (or QMP). All methods are called on the event loop's thread."""

    __slots__ = ()

    def input_room(self) -> int:
        """How many bytes of input are welcome now. After 0, it calls ChardevBackend.input_wanted()."""
        raise NotImplementedError

    def receive(self, data: bytes) -> None:
        """Input from the host: at most as many bytes as input_room() said."""
        raise NotImplementedError

    def receive_break(self) -> None:
        """A break condition from the host's side; most front ends have no use for it."""

    def output_possible(self) -> None:
        """After a write() that took less than all: the host takes bytes again."""
        raise NotImplementedError

    def client_connected(self) -> None:
        """Someone is at the other end now."""

    def client_disconnected(self) -> None:
        """Nobody is at the other end any more; output is discarded until somebody is."""


class ChardevBackend:
    """The side towards the host. Owns its descriptors; all methods are for the event loop's thread."""

    __slots__ = ("config", "dropped_bytes", "front_end", "on_quit")

    def __init__(self, config: ChardevConfig) -> None:
        self.config = config
        self.front_end: FrontEnd | None = None
        # Output given up because the reader was slow or gone, by the back end or (it adds) the front end.
        self.dropped_bytes = 0
        # What a terminal's Ctrl-A x does; set once there is a VM to end.
        self.on_quit: Callable[[], None] | None = None

    def attach(self, front_end: FrontEnd) -> None:
        """Connects the one front end and starts to watch the host's descriptors."""
        raise NotImplementedError

    def write(self, data: bytes) -> int:
        """Gives output to the host and returns how many bytes it took, without ever blocking.

        Less than all: output_possible() follows. With no client, all is taken and discarded (counted).
        """
        raise NotImplementedError

    def input_wanted(self) -> None:
        """The front end has room again, after input_room() returned 0."""
        raise NotImplementedError

    @property
    def connected(self) -> bool:
        """Whether anybody is at the other end."""
        raise NotImplementedError

    @property
    def open_fds(self) -> list[int]:
        """What it has open now, for an audit."""
        raise NotImplementedError

    def describe(self) -> str:
        """What query-chardev's "filename" says, e.g. "unix:/path,server=on", "pty:/dev/pts/3"."""
        raise NotImplementedError

    def flush_at_exit(self, data: bytes, deadline_s: float) -> int:
        """Writes what is left when the VM ends, waiting for the reader until deadline_s (monotonic).

        Returns how many bytes were taken; the caller counts the others as dropped.
        """
        raise NotImplementedError

    def announce(self) -> None:
        """Tells the user where this chardev is, if that wasn't theirs to choose. Once, when there is a VM."""

    def close(self) -> None:
        """Closes descriptors, removes the socket file it made, restores the terminal."""
        raise NotImplementedError

    def count_dropped(self, length: int, why: str) -> None:
        """Counts output that nobody will take; why is said in the log the first time."""
        self.dropped_bytes += length
        _log.warning_once(f"-chardev id={self.config.chardev_id}: {why}; output is dropped")
