"""The keyboard controller's one use on a machine without keyboard: pulsing the CPU's reset line.

Linux's `reboot=k` waits until the input buffer is empty (status bit 1) and writes 0xFE to the command port.
There is nothing to detect: no data ever arrives, and the FADT says that there is no 8042.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_STATUS_SYSTEM_FLAG = 1 << 2  # the self-test has passed
_STATUS_IS_COMMAND = 1 << 3
_STATUS_NOT_INHIBITED = 1 << 4
_STATUS = _STATUS_SYSTEM_FLAG | _STATUS_IS_COMMAND | _STATUS_NOT_INHIBITED

# Commands 0xF0 to 0xFF pulse the output lines whose bit is 0; line 0 is the CPU's reset.
_PULSE_COMMANDS = 0xF0
_RESET_LINE = 1 << 0


class I8042CommandPort:
    """Port 0x64: status when read, commands when written."""

    __slots__ = ("_on_reset",)

    def __init__(self, on_reset: Callable[[], None]) -> None:
        """on_reset is called on the vCPU's thread that pulled the line."""
        self._on_reset = on_reset

    def read(self, _offset: int, _size: int) -> int:
        """Status: both buffers empty."""
        return _STATUS

    def write(self, _offset: int, _size: int, value: int) -> None:
        """Takes a command; all but a pulse of the reset line do nothing."""
        command = value & 0xFF
        if command & _PULSE_COMMANDS == _PULSE_COMMANDS and not command & _RESET_LINE:
            self._on_reset()


class I8042DataPort:
    """Port 0x60: nothing ever comes, and what is written goes nowhere."""

    __slots__ = ()

    def read(self, _offset: int, _size: int) -> int:
        """An empty output buffer."""
        return 0

    def write(self, _offset: int, _size: int, _value: int) -> None:
        """Ignored."""
