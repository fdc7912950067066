"""The interrupt line and its identification (PC16550D data sheet, table IV)."""

from __future__ import annotations

import pytest

from tests.unit.legacy_devices.serial_rig import (
    BREAK,
    DATA_READY,
    FCR,
    IER,
    IIR,
    LINE_STATUS,
    LSR,
    MCR,
    MODEM_STATUS,
    MSR,
    OVERRUN,
    RBR,
    RECEIVED,
    THR,
    TRANSMITTER_EMPTY,
    TRANSMITTER_IDLE,
    SerialRig,
)


def test_priorities_and_what_takes_each_back(rig: SerialRig) -> None:
    rig.host.send(b"a")
    assert rig.host.front_end is not None
    rig.read(RBR)
    rig.host.front_end.receive_break()
    rig.write(MCR, 0x01)
    rig.write(MCR, 0x11)  # loopback: CTS and DCD fall
    assert not rig.line(), "nothing is enabled"
    rig.write(IER, RECEIVED | TRANSMITTER_EMPTY | LINE_STATUS | MODEM_STATUS)
    assert rig.line()
    assert rig.read(IIR) == 0x06
    assert rig.read(IIR) == 0x06, "reading IIR takes the transmitter's back only"
    assert rig.read(LSR) == TRANSMITTER_IDLE | BREAK | DATA_READY
    assert rig.read(IIR) == 0x04
    assert rig.read(RBR) == 0
    assert rig.read(IIR) == 0x02
    assert rig.read(IIR) == 0x00
    assert rig.line()
    rig.read(MSR)
    assert rig.read(IIR) == 0x01
    assert not rig.line()


@pytest.mark.parametrize(("fcr", "trigger"), [(0x01, 1), (0x41, 4), (0x81, 8), (0xC1, 14)])
def test_trigger_levels(rig: SerialRig, fcr: int, trigger: int) -> None:
    rig.write(FCR, fcr)
    rig.write(IER, RECEIVED)
    identified = []
    for count in range(1, 17):
        rig.host.send(b"x")
        assert rig.line()
        identified.append(rig.read(IIR) & 0x0F)
        assert int(rig.uart.c.fifo_count) == count
    assert identified == [0x0C] * (trigger - 1) + [0x04] * (17 - trigger)
    for left in range(15, 0, -1):
        rig.read(RBR)
        assert rig.read(IIR) & 0x0F == (0x04 if left >= trigger else 0x0C)
    rig.read(RBR)
    assert rig.read(IIR) & 0x0F == 0x01
    assert not rig.line()


def test_without_fifo_there_is_no_time_out(rig: SerialRig) -> None:
    rig.write(IER, RECEIVED)
    rig.host.send(b"xy")
    assert rig.read(IIR) == 0x04
    assert rig.read(RBR) == ord("x")
    assert rig.read(IIR) == 0x04, "the second has come up from behind"
    assert rig.read(RBR) == ord("y")
    assert rig.read(IIR) == 0x01


def test_transmitter_empty_is_reported_once(rig: SerialRig) -> None:
    rig.write(IER, TRANSMITTER_EMPTY)
    assert rig.line()
    assert rig.read(IIR) == 0x02
    assert not rig.line()
    assert rig.read(IIR) == 0x01
    rig.write(IER, TRANSMITTER_EMPTY)
    assert not rig.line(), "it was enabled before"
    rig.write(THR, ord("x"))
    assert rig.line()
    assert rig.read(IIR) == 0x02
    rig.write(THR, ord("y"))
    rig.write(IER, 0)
    assert not rig.line()
    rig.write(IER, TRANSMITTER_EMPTY)
    assert rig.line()
    rig.write(IER, RECEIVED)
    assert not rig.line()


def test_line_status_errors_are_cleared_by_reading(rig: SerialRig) -> None:
    rig.write(IER, LINE_STATUS)
    rig.write(MCR, 0x10)
    rig.write(THR, 1)
    assert not rig.line()
    rig.write(THR, 2)
    assert rig.line()
    assert rig.read(LSR) == TRANSMITTER_IDLE | OVERRUN | DATA_READY
    assert not rig.line()
    assert rig.read(LSR) == TRANSMITTER_IDLE | DATA_READY
    assert rig.read(RBR) == 2, "without FIFO the new byte has replaced the old one"


def test_overrun_leaves_the_fifo_as_it_is(rig: SerialRig) -> None:
    rig.write(FCR, 0x01)
    rig.write(MCR, 0x10)
    for value in range(17):
        rig.write(THR, value)
    assert rig.read(LSR) & OVERRUN
    assert rig.read_all() == bytes(range(16))


def test_break_comes_behind_what_was_received_before(rig: SerialRig) -> None:
    rig.write(FCR, 0x01)
    rig.host.send(b"a" * 20)
    assert rig.host.front_end is not None
    rig.host.front_end.receive_break()
    rig.host.send(b"after")
    seen = []
    while (status := rig.read(LSR)) & DATA_READY:
        seen.append((rig.read(RBR), bool(status & BREAK)))
    assert seen == [(ord("a"), False)] * 20 + [(0, True)] + [(byte, False) for byte in b"after"]


def test_clearing_the_receiver_keeps_what_has_not_arrived(rig: SerialRig) -> None:
    rig.write(FCR, 0x01)
    rig.host.send(bytes(range(40)))
    rig.write(FCR, 0x03)
    assert rig.read_all() == bytes(range(16, 40))


def test_clearing_needs_the_enabling_bit(rig: SerialRig) -> None:
    rig.host.send(b"q")
    rig.write(FCR, 0x02)
    assert rig.read_all() == b"q"


def test_loopback_keeps_the_host_out(rig: SerialRig) -> None:
    rig.write(MCR, 0x10)
    rig.host.send(b"host")
    assert not rig.read(LSR) & DATA_READY
    rig.write(THR, ord("g"))
    assert rig.read(RBR) == ord("g")
    rig.turn()
    assert rig.host.taken == b""
    rig.write(MCR, 0)
    assert rig.read_all() == b"host"
