"""A chardev to a pseudo-terminal of its own, for whoever opens the other end."""

from __future__ import annotations

import os
import select
import termios

from vmm_main.chardev.backend import ChardevBackend
from vmm_main.chardev.host_stream import InputStream, OutputStream
from vmm_main.errors import HostError
from vmm_main.log import Logger

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vmm_main.chardev.backend import FrontEnd
    from vmm_main.event_loop import EventLoop, Timer
    from vmm_main.vm_config import ChardevConfig

_log = Logger("chardev")

# The kernel doesn't tell when somebody opens the other end, so it is looked at this often while nobody has.
_LOOK_EVERY_S = 0.2


class PtyChardev(ChardevBackend):
    """The master of a raw pty. Programs open the other end (its path is said at start), leave, come back."""

    __slots__ = ("_input", "_loop", "_master", "_output", "_timer", "path")

    def __init__(self, config: ChardevConfig, loop: EventLoop) -> None:
        """Makes the pty.

        Raises:
            HostError: The host has no pty left.
        """
        super().__init__(config)
        self._loop = loop
        self._input: InputStream | None = None
        self._output: OutputStream | None = None
        self._timer: Timer | None = None
        try:
            self._master, slave = os.openpty()
        except OSError as error:
            raise HostError(f"{config.asked_as}: no pseudo-terminal: {error.strerror}") from error
        os.set_blocking(self._master, False)
        self.path = os.ttyname(slave)
        _make_raw(slave)
        os.close(slave)  # so that from now on the master shows whether somebody else has it open

    def announce(self) -> None:
        """Says where the pty is, as QEMU does."""
        _log.tell_user(f"char device redirected to {self.path} (label {self.config.chardev_id})")

    def attach(self, front_end: FrontEnd) -> None:
        """Connects the front end and begins to look for somebody at the other end."""
        self.front_end = front_end
        self._look()

    def write(self, data: bytes) -> int:
        """Gives data to whoever is there; to nobody, it is discarded and counted."""
        if self._output is None:
            self.dropped_bytes += len(data)
            return len(data)
        return self._output.write(data)

    def input_wanted(self) -> None:
        """The front end has room again."""
        if self._input is not None:
            self._input.want()

    @property
    def connected(self) -> bool:
        """Whether somebody has the other end open, as far as is known."""
        return self._input is not None

    @property
    def open_fds(self) -> list[int]:
        """The master."""
        return [self._master] if self._output is None else [self._master, *self._output.open_fds]

    def describe(self) -> str:
        """As QEMU's query-chardev has it."""
        return f"{'' if self.connected else 'disconnected:'}pty:{self.path}"

    def flush_at_exit(self, data: bytes, deadline_s: float) -> int:
        """Gives data to whoever is there."""
        return self._output.flush(data, deadline_s) if self._output is not None else 0

    def close(self) -> None:
        """Closes the pty; the other end gets a hang-up."""
        self._disconnect()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._master >= 0:
            os.close(self._master)
            self._master = -1

    def _look(self) -> None:
        """Connects if the other end is open; otherwise looks again later."""
        self._timer = None
        poll = select.poll()
        poll.register(self._master, select.POLLIN)
        assert self.front_end is not None
        front_end = self.front_end
        events = sum(events for _, events in poll.poll(0))
        hung_up = bool(events & select.POLLHUP)
        # `echo reboot >/dev/pts/3` has left before anybody looks, but not without a trace.
        if hung_up and not (events & select.POLLIN and front_end.input_room() > 0):
            self._timer = self._loop.call_later(_LOOK_EVERY_S, self._look)
            return
        self._input = InputStream(
            self._loop,
            self._master,
            room=front_end.input_room,
            on_data=front_end.receive,
            on_end=self._left,
            on_hang_up=self._left,
        )
        if hung_up:
            front_end.client_connected()
            self._input.drain()
            if self._input is not None:  # for want of room, or because somebody has just come
                self._left()
            return
        self._output = OutputStream(
            self._loop, self._master, on_room=front_end.output_possible, on_drop=self.count_dropped
        )
        front_end.client_connected()
        self.input_wanted()
        front_end.output_possible()

    def _left(self) -> None:
        self._disconnect()
        self._timer = self._loop.call_later(_LOOK_EVERY_S, self._look)
        if self.front_end is not None:
            self.front_end.client_disconnected()
            self.front_end.output_possible()

    def _disconnect(self) -> None:
        if self._input is not None:
            self._input.close()
            self._input = None
        if self._output is not None:
            self._output.close()
            self._output = None


def _make_raw(fd: int) -> None:
    """What cfmakeraw(3) does."""
    settings = termios.tcgetattr(fd)
    settings[0] &= ~(
        termios.IGNBRK | termios.BRKINT | termios.PARMRK | termios.ISTRIP
        | termios.INLCR | termios.IGNCR | termios.ICRNL | termios.IXON
    )  # fmt: skip
    settings[1] &= ~termios.OPOST
    settings[2] = settings[2] & ~(termios.CSIZE | termios.PARENB) | termios.CS8
    settings[3] &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
    termios.tcsetattr(fd, termios.TCSANOW, settings)
