"""COM1, a 16550A UART: the registers that aren't hot, and the way between the FIFOs and a chardev.

Register names and bits: National Semiconductor PC16550D data sheet, table II. The data register and LSR are
answered in C (uart16550.c); both halves share one state under one mutex.
"""

from __future__ import annotations

import posix as os

from vmm_main.chardev.backend import FrontEnd
from vmm_main.event_loop import READABLE
from vmm_main.kvm._kvm import ffi, lib
from vmm_main.log import Logger

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vmm_main.chardev.backend import ChardevBackend
    from vmm_main.event_loop import EventLoop

_DATA, _IER, _IIR_FCR, _LCR, _MCR, _LSR, _MSR, _SCR = range(8)

_FCR_ENABLE = 1 << 0
_FCR_CLEAR_RECEIVER = 1 << 1
_TRIGGER_BYTES = (1, 4, 8, 14)  # FCR bits 7:6
_IIR_FIFOS_ENABLED = 0xC0

# MCR bits 3:0 (DTR, RTS, OUT1, OUT2) appear in loopback mode as MSR bits DSR, CTS, RI, DCD.
_LOOPED_LINES = ((1 << 0, 1 << 5), (1 << 1, 1 << 4), (1 << 2, 1 << 6), (1 << 3, 1 << 7))
_MSR_CONNECTED = 0xB0
_MSR_DELTAS = 0x0F
_MSR_RING = 1 << 6

_CHUNK_BYTES = 16384
# A guest that never stops sending gets this much moved before the event loop's others have their turn.
_CHUNKS_PER_TURN = 8

_log = Logger("uart")


class Uart16550(FrontEnd):
    """One UART and the chardev behind it.

    As a FrontEnd it lives on the event loop, as a device on vCPU threads.
    """

    __slots__ = ("_backend", "_chunk", "_counted_drops", "_events", "_loop", "c")

    def __init__(self, loop: EventLoop, backend: ChardevBackend) -> None:
        """Makes the UART, its interrupt line leading nowhere until reset(), and attaches it to backend."""
        self._loop = loop
        self._backend = backend
        self._chunk = ffi.new("uint8_t[]", _CHUNK_BYTES)
        self._counted_drops = 0
        self._events = [os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK) for _ in range(2)]
        self.c = ffi.new("struct uart16550 *")
        lib.uart16550_init(self.c, *self._events)
        loop.watch(self._events[0], READABLE, self._on_transmit)
        loop.watch(self._events[1], READABLE, self._on_receive_room)
        backend.attach(self)

    def reset(self, vm_fd: int, gsi: int) -> None:
        """Power-on state; interrupts go to gsi of the KVM VM vm_fd from now on (-1: nowhere)."""
        lib.uart16550_reset(self.c, vm_fd, gsi)

    def close(self) -> None:
        """Forgets the event loop; the chardev stays open."""
        for fd in self._events:
            self._loop.unwatch(fd)
            os.close(fd)
        lib.uart16550_deinit(self.c)

    # The device, on vCPU threads.

    def read(self, offset: int, size: int) -> int:
        """A read of size bytes, which the bus makes size reads of one."""
        value = 0
        for i in range(size):
            value |= self._read_register(offset + i) << 8 * i
        return value

    def write(self, offset: int, size: int, value: int) -> None:
        """A write of size bytes, which the bus makes size writes of one."""
        for i in range(size):
            self._write_register(offset + i, value >> 8 * i & 0xFF)

    def _read_register(self, offset: int) -> int:
        answer = ffi.new("uint8_t *")
        if lib.uart16550_io_read(self.c, offset, answer):
            return int(answer[0])
        c = self.c
        lib.uart16550_lock(c)
        try:
            return self._read_cold_register(offset)
        finally:
            lib.uart16550_update_line(c)
            lib.uart16550_unlock(c)

    def _read_cold_register(self, offset: int) -> int:
        c = self.c
        if offset in (_DATA, _IER) and c.lcr & lib.UART16550_LCR_DLAB:
            return int(c.dll if offset == _DATA else c.dlm)
        if offset == _IIR_FCR:
            identification = int(lib.uart16550_interrupt(c))
            if identification == lib.UART16550_IIR_TRANSMITTER_EMPTY:
                c.transmitter_pending = 0  # reading its identification takes the interrupt back
            return identification | (_IIR_FIFOS_ENABLED if c.fifo_enabled else 0)
        if offset == _MSR:
            value = int(c.msr)
            c.msr = value & ~_MSR_DELTAS
            return value
        return int({_IER: c.ier, _LCR: c.lcr, _MCR: c.mcr, _SCR: c.scr}.get(offset, 0xFF))

    def _write_register(self, offset: int, value: int) -> None:
        if lib.uart16550_io_write(self.c, offset, value):
            return
        c = self.c
        lib.uart16550_lock(c)
        try:
            self._write_cold_register(offset, value)
        finally:
            lib.uart16550_update_line(c)
            lib.uart16550_unlock(c)

    def _write_cold_register(self, offset: int, value: int) -> None:
        c = self.c
        if offset in (_DATA, _IER) and c.lcr & lib.UART16550_LCR_DLAB:
            if offset == _DATA:
                c.dll = value
            else:
                c.dlm = value
        elif offset == _IER:
            enabled = value & ~c.ier
            c.ier = value & 0x0F
            if enabled & lib.UART16550_IER_TRANSMITTER_EMPTY:
                c.transmitter_pending = 1  # the transmitter is empty, and enabling the interrupt says so
        elif offset == _IIR_FCR:
            self._write_fifo_control(value)
        elif offset == _LCR:
            c.lcr = value
        elif offset == _MCR:
            self._write_modem_control(value & 0x1F)
        elif offset == _SCR:
            c.scr = value

    def _write_fifo_control(self, value: int) -> None:
        c = self.c
        enable = value & _FCR_ENABLE
        # Without the enabling bit the others aren't programmed.
        if enable != c.fifo_enabled or (enable and value & _FCR_CLEAR_RECEIVER):
            lib.uart16550_clear_fifo(c)  # what waits in the backlog hasn't arrived yet, and isn't lost
        c.fifo_enabled = enable
        c.trigger_bytes = _TRIGGER_BYTES[value >> 6] if enable else 1
        lib.uart16550_refill_fifo(c)

    def _write_modem_control(self, value: int) -> None:
        c = self.c
        c.mcr = value
        lines = _MSR_CONNECTED
        if value & lib.UART16550_MCR_LOOPBACK:
            lines = sum(line for output, line in _LOOPED_LINES if value & output)
        before = int(c.msr) & ~_MSR_DELTAS
        changed = before ^ lines
        deltas = changed >> 4 & ~(_MSR_RING >> 4)
        if before & _MSR_RING and not lines & _MSR_RING:  # RI reports its trailing edge only
            deltas |= _MSR_RING >> 4
        c.msr = lines | c.msr & _MSR_DELTAS | deltas
        lib.uart16550_refill_fifo(c)

    # The front end, on the event loop.

    def input_room(self) -> int:
        """How much the backlog takes; at 0 the guest's reading will make room."""
        return int(lib.uart16550_receive_room(self.c))

    def receive(self, data: bytes) -> None:
        """Input from the chardev."""
        lib.uart16550_receive(self.c, data, len(data))

    def receive_break(self) -> None:
        """A break, as a terminal's user sends it."""
        lib.uart16550_receive_break(self.c)

    def output_possible(self) -> None:
        """The chardev takes bytes again."""
        self._transmit()

    def flush_at_exit(self, deadline_s: float) -> None:
        """Gives what the guest has sent to the chardev, waiting for its reader until deadline_s (monotonic).

        The guest must have stopped. What can't be given is counted as dropped.
        """
        data = bytearray()
        while length := lib.uart16550_transmit_peek(self.c, self._chunk, _CHUNK_BYTES):
            data += ffi.buffer(self._chunk, length)
            lib.uart16550_transmit_take(self.c, length)
        taken = self._backend.flush_at_exit(bytes(data), deadline_s) if data else 0
        self._backend.dropped_bytes += len(data) - taken
        self._count_drops()
        if self._backend.dropped_bytes:
            _log.info(
                f"{self._backend.describe()}: {self._backend.dropped_bytes} bytes of output were dropped"
            )

    def _on_transmit(self, _events: int) -> None:
        os.eventfd_read(self._events[0])
        self._transmit()
        self._count_drops()

    def _on_receive_room(self, _events: int) -> None:
        os.eventfd_read(self._events[1])
        self._backend.input_wanted()

    def _transmit(self) -> None:
        """Moves bytes from the ring to the chardev until one is empty or the other full."""
        for _ in range(_CHUNKS_PER_TURN):
            length = lib.uart16550_transmit_peek(self.c, self._chunk, _CHUNK_BYTES)
            if length == 0:
                return
            taken = self._backend.write(bytes(ffi.buffer(self._chunk, length)))
            lib.uart16550_transmit_take(self.c, taken)
            if taken < length:
                return  # output_possible() will go on
        os.eventfd_write(self._events[0], 1)

    def _count_drops(self) -> None:
        """Adds what the ring had no room for to the chardev's count."""
        dropped = int(self.c.transmit_dropped)
        if dropped != self._counted_drops:
            _log.warning_once(f"{self._backend.describe()}: the reader is slow; output is dropped")
            self._backend.dropped_bytes += dropped - self._counted_drops
            self._counted_drops = dropped
