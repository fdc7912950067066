"""A chardev to standard input and output: a terminal with QEMU's Ctrl-A escapes, or plain pipes and files."""

from __future__ import annotations

import _stat as stat  # its C half, all that is needed here
import posix as os

from vmm_main.chardev.backend import ChardevBackend
from vmm_main.chardev.host_stream import InputStream, OutputStream, open_again
from vmm_main.kvm._kvm import lib
from vmm_main.log import Logger

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vmm_main.chardev.backend import FrontEnd
    from vmm_main.event_loop import EventLoop
    from vmm_main.vm_config import ChardevConfig

_STDIN, _STDOUT = 0, 1
_ESCAPE = 0x01  # Ctrl-A
_HELP = (
    b"\r\nCtrl-A h  this help\r\nCtrl-A x  end the VM\r\nCtrl-A b  send a break to the guest\r\n"
    b"Ctrl-A Ctrl-A  send Ctrl-A to the guest\r\n"
)

_log = Logger("chardev")


class StdioChardev(ChardevBackend):
    """Standard input and output of the process that started Bulkhead."""

    __slots__ = ("_escaped", "_input", "_is_terminal", "_loop", "_output", "_own_stdin")

    def __init__(self, config: ChardevConfig, loop: EventLoop) -> None:
        """Makes a terminal raw; descriptors that the caller shares keep their flags."""
        super().__init__(config)
        self._loop = loop
        self._input: InputStream | None = None
        self._output: OutputStream | None = None
        self._escaped = False
        self._own_stdin: int | None = None
        self._is_terminal = os.isatty(_STDIN)
        if self._is_terminal:
            result = lib.terminal_make_raw(_STDIN)
            if result < 0:
                _log.warning(f"standard input: can't make the terminal raw: {os.strerror(-result)}")

    def attach(self, front_end: FrontEnd) -> None:
        """Connects the front end and begins to read."""
        self.front_end = front_end
        self._output = OutputStream(
            self._loop,
            _STDOUT,
            shared=True,
            on_room=front_end.output_possible,
            on_drop=self.count_dropped,
        )
        # Whoever else reads there may be faster than we: then only a descriptor of our own doesn't wait.
        if self._is_terminal or stat.S_ISFIFO(os.fstat(_STDIN).st_mode):
            self._own_stdin = open_again(_STDIN, os.O_RDONLY)
        self._input = InputStream(
            self._loop,
            _STDIN if self._own_stdin is None else self._own_stdin,
            room=front_end.input_room,
            on_data=self._on_data,
            on_end=self._on_end,
        )
        self._input.want()

    def write(self, data: bytes) -> int:
        """Gives data to standard output; a reader that has left gets nothing, and that is counted."""
        assert self._output is not None
        return self._output.write(data)

    def input_wanted(self) -> None:
        """The front end has room again."""
        if self._input is not None:
            self._input.want()

    @property
    def connected(self) -> bool:
        """Standard input and output are always there."""
        return True

    @property
    def open_fds(self) -> list[int]:
        """What was opened beside the standard ones."""
        own = [] if self._own_stdin is None else [self._own_stdin]
        return own if self._output is None else own + self._output.open_fds

    def describe(self) -> str:
        """As QEMU's query-chardev has it."""
        return "stdio"

    def flush_at_exit(self, data: bytes, deadline_s: float) -> int:
        """Gives data to standard output, waiting for its reader."""
        return self._output.flush(data, deadline_s) if self._output is not None else 0

    def close(self) -> None:
        """Restores the terminal; the descriptors stay the caller's."""
        if self._input is not None:
            self._input.close()
            self._input = None
        if self._own_stdin is not None:
            os.close(self._own_stdin)
            self._own_stdin = None
        if self._output is not None:
            self._output.close()
            self._output = None
        lib.terminal_restore()

    def _on_data(self, data: bytes) -> None:
        assert self.front_end is not None
        if self._is_terminal:
            data = self._without_escapes(data)
        if data:
            self.front_end.receive(data)

    def _on_end(self) -> None:
        _log.info("standard input has ended; the VM runs on")

    def _without_escapes(self, data: bytes) -> bytes:
        """Carries out what follows a Ctrl-A and returns the rest."""
        kept = bytearray()
        for byte in data:
            if self._escaped:
                self._escaped = False
                if byte == _ESCAPE:
                    kept.append(byte)
                elif byte == ord("x"):
                    if self.on_quit is not None:
                        assert self._output is not None
                        self._output.write(b"\r\n")  # the shell's prompt belongs on a line of its own
                        self.on_quit()
                elif byte == ord("b"):
                    assert self.front_end is not None
                    if kept:  # the break comes after what was typed before it
                        self.front_end.receive(bytes(kept))
                        kept.clear()
                    self.front_end.receive_break()
                elif byte in b"h?":
                    assert self._output is not None
                    self._output.write(_HELP)
                # As in QEMU, any other key after Ctrl-A means nothing.
            elif byte == _ESCAPE:
                self._escaped = True
            else:
                kept.append(byte)
        return bytes(kept)
