"""What Linux's 8250 driver does to find out that a 16550A is there (drivers/tty/serial/8250/8250_port.c)."""

from __future__ import annotations

import pytest

from tests.unit.legacy_devices.serial_rig import (
    DLL,
    DLM,
    FCR,
    IER,
    IIR,
    LCR,
    LSR,
    MCR,
    MSR,
    RBR,
    SCR,
    SerialRig,
)


def test_autoconfig_finds_a_16550a(rig: SerialRig) -> None:
    """autoconfig(), step by step, with its comments' names for what each step tells apart."""
    # Is anything there? IER's upper half reads 0, its lower half keeps what is written.
    saved = rig.read(IER)
    rig.write(IER, 0)
    assert rig.read(IER) & 0x0F == 0
    rig.write(IER, 0x0F)
    assert rig.read(IER) == 0x0F
    rig.write(IER, saved)
    # Is it a UART? In loopback, RTS and OUT2 come back as CTS and DCD.
    saved_mcr, saved_lcr = rig.read(MCR), rig.read(LCR)
    rig.write(MCR, 0x10 | 0x0A)
    assert rig.read(MSR) & 0xF0 == 0x90
    rig.write(MCR, saved_mcr)
    # Which one? No EFR behind LCR 0xBF: FCR's bits 7:6 decide, by what IIR says of the FIFO.
    rig.write(LCR, 0xBF)
    rig.write(2, 0)  # EFR, if there were one
    rig.write(LCR, 0)
    rig.write(FCR, 1)
    assert rig.read(IIR) >> 6 == 3, "3: PORT_16550A"
    # autoconfig_16550a(): a 16750 would keep FCR bit 5 while DLAB is set, an XR17V35x has EXAR registers.
    rig.write(FCR, 1)
    plain = rig.read(IIR) >> 5
    rig.write(LCR, 0x80)
    rig.write(FCR, 0x21)
    assert rig.read(IIR) >> 5 == plain == 6, "6: no 64-byte FIFO"
    rig.write(LCR, saved_lcr)
    # An XScale UART keeps IER bit 6 (UUE).
    rig.write(IER, 0x40)
    assert rig.read(IER) & 0x40 == 0
    rig.write(IER, 0)


def test_size_of_the_fifo(rig: SerialRig) -> None:
    """size_fifo(): 256 bytes in loopback, then as many as the FIFO held come back."""
    rig.write(FCR, 0x01 | 0x02 | 0x04)
    rig.write(MCR, 0x10)
    rig.write(LCR, 0x80)
    rig.write(DLL, 1)
    rig.write(DLM, 0)
    rig.write(LCR, 0x03)
    for value in range(256):
        rig.write(0, value)
    assert rig.read_all() == bytes(range(16))
    assert rig.host.taken == b"", "nothing of it leaves the chip"


def test_startup_sees_no_thre_bug(rig: SerialRig) -> None:
    """serial8250_do_startup(): enabling the transmitter's interrupt twice must be reported twice."""
    for _ in range(2):
        rig.write(IER, 0x02)
        assert rig.read(IIR) & 1 == 0
        rig.write(IER, 0)
    assert rig.read(LSR) & 0x60 == 0x60
    rig.write(IER, 0x02)
    assert rig.read(IIR) & 0x0F == 2
    assert rig.read(LSR) != 0xFF


@pytest.mark.parametrize("value", [0x00, 0x55, 0xAA, 0xFF])
def test_scratch_register(rig: SerialRig, value: int) -> None:
    rig.write(SCR, value)
    assert rig.read(SCR) == value


def test_divisor_latch_hides_data_and_interrupt_enable(rig: SerialRig) -> None:
    rig.write(IER, 0x05)
    rig.host.send(b"x")
    rig.write(LCR, 0x83)
    assert rig.read(DLL) | rig.read(DLM) << 8 == 12, "9600 baud at power-on"
    rig.write(DLL, 0x34)
    rig.write(DLM, 0x12)
    assert (rig.read(DLL), rig.read(DLM)) == (0x34, 0x12)
    rig.write(LCR, 0x03)
    assert rig.read(IER) == 0x05
    assert rig.read(RBR) == ord("x")
    rig.turn()
    assert rig.host.taken == b"", "a divisor isn't sent"


def test_wide_accesses_are_bytes_side_by_side(rig: SerialRig) -> None:
    rig.uart.write(MSR, 2, 0x5A00)
    assert rig.read(SCR) == 0x5A
    assert rig.uart.read(LCR, 4) == 0xB060_0000


@pytest.mark.parametrize(
    ("outputs", "lines"), [(0, 0), (1, 0x20), (2, 0x10), (4, 0x40), (8, 0x80), (15, 0xF0)]
)
def test_loopback_crosses_the_modem_lines(rig: SerialRig, outputs: int, lines: int) -> None:
    rig.write(MCR, 0x10 | outputs)
    assert rig.read(MSR) & 0xF0 == lines
    assert rig.read(MSR) & 0x0F == 0, "reading takes the changes back"


def test_changes_of_modem_lines(rig: SerialRig) -> None:
    assert rig.read(MSR) == 0xB0
    rig.write(MCR, 0x10)
    assert rig.read(MSR) == 0x0B, "CTS, DSR and DCD have changed; RI wasn't there"
    rig.write(MCR, 0x14)
    assert rig.read(MSR) == 0x40, "RI's rising edge isn't reported"
    rig.write(MCR, 0x10)
    assert rig.read(MSR) == 0x04, "its trailing edge is"
    rig.write(MCR, 0x00)
    assert rig.read(MSR) == 0xBB


def test_reset_is_power_on(rig: SerialRig) -> None:
    for register, value in ((FCR, 0xC1), (IER, 0x0F), (MCR, 0x1B), (SCR, 9), (LCR, 0x9B), (DLL, 1)):
        rig.write(register, value)
    rig.uart.reset(-1, 4)
    assert [rig.read(register) for register in (IER, IIR, LCR, MCR, LSR, MSR, SCR)] == [
        0, 1, 0, 0, 0x60, 0xB0, 0,
    ]  # fmt: skip
