"""How main knows that nothing of a dead process's I/O is under way any more.

A ring of io_uring outlives its process: a direct read or write that was under way when it was killed goes on
after it is reaped, into the guest's memory or the image, and a successor must not have done it again before.
The ring has registered one end of a socket pair, which the kernel lets go of with the ring, after the last
request.
"""

from __future__ import annotations

import _socket
import posix as os
import select

from vmm_main.errors import HostError


class LastIo:
    """One process's; main's end hangs up once it is over."""

    __slots__ = ("_ours", "_poll", "_theirs")

    def __init__(self) -> None:
        """Makes the pair.

        Raises:
            HostError: No descriptor is left.
        """
        try:
            self._ours, self._theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        except OSError as error:
            raise HostError(f"can't make a socket pair for a disk: {error.strerror}") from error
        self._poll = select.poll()
        self._poll.register(self._ours.fileno(), 0)

    @property
    def given_fd(self) -> int:
        """The end that goes to the process."""
        return self._theirs.fileno()

    @property
    def given_inode(self) -> int:
        """Of the end that went to the process: what it is in /proc; before gave() only."""
        return os.fstat(self._theirs.fileno()).st_ino

    @property
    def open_fds(self) -> list[int]:
        """Main's end, and the other one until it is given."""
        return [self._ours.fileno(), self._theirs.fileno()]

    def gave(self) -> None:
        """The process has its end, or will never get it."""
        self._theirs.close()

    def fileno(self) -> int:
        """To be watched for its hang-up, without any other event: what the process may write stays unread."""
        return self._ours.fileno()

    def is_over(self, timeout_s: float = 0.0) -> bool:
        """Whether it is, or comes to be within timeout_s."""
        return bool(self._poll.poll(timeout_s * 1000))

    def close(self) -> None:
        """Lets go of it."""
        self._theirs.close()
        self._ours.close()
