"""The UART as a driver finds it, by interrupt, and under more input than it can hold."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.guest.conftest import StartBareMetal
from tests.guest.guest_report import SerialStream, secrets_of
from tests.guest.running_vm import BareMetalVm

pytestmark = pytest.mark.timeout(300)

_MASK = (1 << 64) - 1
_SUM_STEP = 0x9E3779B97F4A7C15
_MEGABYTE = 1 << 20
_THROUGH_A_SOCKET = 1 << 18  # more than socket, VMM and FIFO hold together


def test_linux_would_take_it_for_a_16550a(start: StartBareMetal) -> None:
    report = start("uart").expect_power_off()
    facts = {name: int(values[0], 16) for name, values in report.facts.items() if name != "test"}
    assert facts == {
        # 8250_port.c, autoconfig(): there is a UART, and its loopback works.
        "ier-cleared": 0,
        "ier-set": 0x0F,
        "loopback-msr": 0x90,
        # A 16550A (FIFO bits 11), and nothing that came after it.
        "iir-fifo": 3,
        "efr-is-zero": 0,
        "national-bank-2": 0,
        "fifo-small": 6,
        "fifo-large": 6,
        "ier-uue": 0,
        "divisor": 0xCAFE,
        "ier-beside-divisor": 0,
        "scratch": 0xA5,
        # PC16550D, table IV: interrupts by priority, each taken back as it says there.
        "iir-quiet": 0xC1,
        "iir-modem": 0x0,
        "msr-delta": 0x1,
        "iir-one-byte": 0xC,
        "iir-trigger": 0x4,
        "iir-overrun": 0x6,
        "lsr-overrun": 0x63,
        "lsr-after": 0x61,
        "wrong-bytes": 0,
        "lsr-empty": 0x60,
        "iir-transmitter": 0x2,
        "iir-taken-back": 0x1,
        # Somebody is at the other end: DCD, DSR, CTS.
        "msr": 0xB0,
    }


def test_interrupts_drive_it_in_both_directions(start: StartBareMetal) -> None:
    data = random.randbytes(3000)
    vm = start("echo", append=f"length={len(data)}")
    key = int(vm.report.wait_for("key"), 16)
    assert key == secrets_of(vm.nonce, 1)[0] & 0xFF
    # A FIFO's worth at a time, each awaited, so that the guest sleeps in between.
    for start_of_piece in range(0, len(data), 100):
        piece = data[start_of_piece : start_of_piece + 100]
        vm.serial.write(piece)
        assert vm.serial.read_exactly(len(piece)) == bytes(byte ^ key for byte in piece)
    report = vm.expect_power_off()
    assert report.number("received") == len(data)
    assert report.number("receive-interrupts") >= len(data) // 100
    assert report.number("transmit-interrupts") >= len(data) // 16
    assert report.number("other-interrupts") == 0


def _sum_of(data: bytes, nonce: int) -> int:
    for position in range(0, len(data), 8):
        nonce = (nonce ^ int.from_bytes(data[position : position + 8], "little")) * _SUM_STEP & _MASK
    return nonce


def _paste(vm: BareMetalVm, length: int, errors: str = "") -> None:
    data = random.randbytes(length)
    report = vm.report
    assert int(report.wait_for("waiting"), 16) == len(data)
    vm.serial.write(data)
    vm.expect_power_off(errors)
    assert report.number("received") == len(data)
    assert report.number("sum") == _sum_of(data, vm.nonce)
    assert report.number("line-errors") == 0
    assert report.number("interrupted") == 1


def test_a_pasted_megabyte_arrives_whole(start: StartBareMetal) -> None:
    _paste(start("input", append=f"length={_MEGABYTE}"), _MEGABYTE)


def test_a_paste_through_a_socket_arrives_whole(start: StartBareMetal, tmp_path: Path) -> None:
    path = str(tmp_path / "console")
    chardev = ("-chardev", f"socket,id=console,path={path},server")
    waits = f"bulkhead: -chardev socket,id=console,path={path}: waiting for a client, as nowait isn't given\n"
    vm = start("input", *chardev, serial="chardev:console", append=f"length={_THROUGH_A_SOCKET}")
    with vm.wait_for_listener(path) as client:
        vm.use_serial(SerialStream(client.fileno(), client.fileno()))
        _paste(vm, _THROUGH_A_SOCKET, waits)
