"""A UART between a guest's driver and a host's reader that the test plays both."""

from __future__ import annotations

import time
from collections.abc import Callable

from vmm_main.chardev.backend import ChardevBackend, FrontEnd
from vmm_main.event_loop import EventLoop
from vmm_main.legacy_devices.uart16550 import Uart16550
from vmm_main.vm_config import ChardevConfig

RBR = THR = DLL = 0
IER = DLM = 1
IIR = FCR = 2
LCR = 3
MCR = 4
LSR = 5
MSR = 6
SCR = 7

RECEIVED, TRANSMITTER_EMPTY, LINE_STATUS, MODEM_STATUS = 1, 2, 4, 8  # IER
DATA_READY, OVERRUN, BREAK, TRANSMITTER_IDLE = 0x01, 0x02, 0x10, 0x60  # LSR


class HostSide(ChardevBackend):
    """Takes output as long as it has room; holds input until the UART has room."""

    def __init__(self) -> None:
        super().__init__(ChardevConfig("serial0", "stdio"))
        self.room = 1 << 30
        self.taken = bytearray()
        self.pending = b""
        self.largest_piece = 0
        self.sizes_offered: list[int] = []
        self.on_write: Callable[[int], None] = lambda _length: None

    def attach(self, front_end: FrontEnd) -> None:
        self.front_end = front_end

    def write(self, data: bytes) -> int:
        self.sizes_offered.append(len(data))
        self.on_write(len(data))
        length = min(self.room, len(data))
        self.taken += data[:length]
        self.room -= length
        return length

    def send(self, data: bytes) -> None:
        """Data arrives from the host, on top of what waits."""
        self.pending += data
        self.input_wanted()

    def input_wanted(self) -> None:
        assert self.front_end is not None
        while self.pending and (room := self.front_end.input_room()) > 0:
            piece, self.pending = self.pending[:room], self.pending[room:]
            self.largest_piece = max(self.largest_piece, len(piece))
            self.front_end.receive(piece)

    @property
    def connected(self) -> bool:
        return True

    def describe(self) -> str:
        return "test"

    def flush_at_exit(self, data: bytes, deadline_s: float) -> int:
        return self.write(data)

    def close(self) -> None:
        self.front_end = None


class SerialRig:
    """The registers as a driver sees them, byte by byte, and the event loop run by hand."""

    def __init__(self) -> None:
        self.loop = EventLoop()
        self.host = HostSide()
        self.uart = Uart16550(self.loop, self.host)

    def read(self, register: int) -> int:
        return self.uart.read(register, 1)

    def write(self, register: int, value: int) -> None:
        self.uart.write(register, 1, value)

    def line(self) -> bool:
        """The interrupt line's level."""
        return bool(self.uart.c.line_level)

    def turn(self) -> None:
        """Runs the event loop until nothing is ready."""
        deadline_s = time.monotonic() + 10
        while self.loop._epoll.poll(0):
            self.loop.run_once(0)
            assert time.monotonic() < deadline_s, "the event loop turns without end"

    def read_all(self) -> bytes:
        """Reads as a driver does: while LSR says that data is ready."""
        data = bytearray()
        while self.read(LSR) & DATA_READY:
            data.append(self.read(RBR))
        return bytes(data)

    def close(self) -> None:
        self.uart.close()
        self.loop.close()
