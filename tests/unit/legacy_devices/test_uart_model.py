"""Any order of a driver's and the host's doings, against a model that knows the data sheet and nothing of C.

The model's input is a queue of what waits on the host's side and a FIFO of what the driver can see.
"""

from __future__ import annotations

from collections import deque

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.unit.legacy_devices.serial_rig import FCR, IER, IIR, LSR, MCR, RBR, THR, SerialRig

_TRIGGERS = {0: 1, 1: 4, 2: 8, 3: 14}


class UartAgainstModel(RuleBasedStateMachine):
    """One rig and one model."""

    def __init__(self) -> None:
        super().__init__()
        self.rig = SerialRig()
        self.waiting: deque[int] = deque()
        self.fifo: deque[int] = deque()
        self.sent = bytearray()
        self.ier = 0
        self.depth = 1
        self.trigger = 1
        self.loopback = False
        self.overrun = False
        self.holding_register_emptied = False

    def teardown(self) -> None:
        self.rig.turn()
        assert bytes(self.rig.host.taken) == bytes(self.sent)
        self.rig.close()

    def fill(self) -> None:
        while not self.loopback and self.waiting and len(self.fifo) < self.depth:
            self.fifo.append(self.waiting.popleft())

    def identification(self) -> int:
        if self.ier & 4 and self.overrun:
            return 6
        if self.ier & 1 and self.fifo:
            return 4 if self.depth == 1 or len(self.fifo) >= self.trigger else 12
        if self.ier & 2 and self.holding_register_emptied:
            return 2
        return 1

    @rule(data=st.binary(min_size=1, max_size=300))
    def host_sends(self, data: bytes) -> None:
        self.rig.host.send(data)
        self.waiting.extend(data)
        self.fill()

    @rule(value=st.integers(0, 255))
    def driver_writes(self, value: int) -> None:
        self.rig.write(THR, value)
        self.holding_register_emptied = True
        if not self.loopback:
            self.sent.append(value)
        elif len(self.fifo) < self.depth:
            self.fifo.append(value)
        else:
            self.overrun = True
            if self.depth == 1:
                self.fifo[0] = value

    @rule(times=st.integers(1, 40))
    def driver_reads(self, times: int) -> None:
        for _ in range(times):
            if not self.fifo:
                break
            assert self.rig.read(RBR) == self.fifo.popleft()
            self.fill()
        self.rig.turn()

    @rule(value=st.integers(0, 7))
    def driver_enables_interrupts(self, value: int) -> None:
        self.rig.write(IER, value)
        if value & 2 and not self.ier & 2:
            self.holding_register_emptied = True
        self.ier = value

    @rule(enable=st.booleans(), clear=st.booleans(), trigger=st.integers(0, 3))
    def driver_controls_fifo(self, enable: bool, clear: bool, trigger: int) -> None:
        self.rig.write(FCR, trigger << 6 | clear << 1 | enable)
        if enable != (self.depth == 16) or (enable and clear):
            self.fifo.clear()
        self.depth = 16 if enable else 1
        self.trigger = _TRIGGERS[trigger] if enable else 1
        self.fill()
        self.rig.turn()

    @rule(on=st.booleans())
    def driver_switches_loopback(self, on: bool) -> None:
        self.rig.write(MCR, 0x10 if on else 0)
        self.loopback = on
        self.fill()
        self.rig.turn()

    @rule()
    def driver_reads_identification(self) -> None:
        expected = self.identification()
        assert self.rig.read(IIR) == expected | (0xC0 if self.depth == 16 else 0)
        if expected == 2:
            self.holding_register_emptied = False

    @rule()
    def driver_reads_line_status(self) -> None:
        assert self.rig.read(LSR) == 0x60 | (2 if self.overrun else 0) | (1 if self.fifo else 0)
        self.overrun = False

    @invariant()
    def line_follows(self) -> None:
        assert self.rig.line() == (self.identification() != 1)


TestUartAgainstModel = UartAgainstModel.TestCase
TestUartAgainstModel.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
