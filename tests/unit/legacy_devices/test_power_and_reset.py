"""The power registers and the keyboard controller's reset line."""

from __future__ import annotations

import threading

import pytest

from vmm_main.legacy_devices.i8042 import I8042CommandPort, I8042DataPort
from vmm_main.legacy_devices.power_registers import PowerRegisters

SLEEP_CONTROL, SLEEP_STATUS, RESET, EVENTS, SLOTS = 0, 1, 2, 4, 8


def nothing() -> None:
    """What isn't asked for here."""


class Board:
    """Notes what the registers ask for."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.registers = PowerRegisters(
            on_poweroff=lambda: self.asked.append("off"),
            on_reset=lambda: self.asked.append("reset"),
            raise_interrupt=lambda: self.asked.append("interrupt"),
        )


@pytest.fixture
def board() -> Board:
    return Board()


def test_only_s5_with_enable_powers_off(board: Board) -> None:
    for value in range(256):
        board.registers.write(SLEEP_CONTROL, 1, value)
        expected = ["off"] if value & 0x20 and value >> 2 & 7 == 5 else []
        assert board.asked == expected, hex(value)
        board.asked.clear()


def test_only_the_reset_value_resets(board: Board) -> None:
    for value in range(256):
        board.registers.write(RESET, 1, value)
    assert board.asked == ["reset"]


@pytest.mark.parametrize("size", [2, 4])
@pytest.mark.parametrize("offset", [SLEEP_CONTROL, RESET])
def test_writes_of_another_width_do_nothing(board: Board, offset: int, size: int) -> None:
    for value in (0x01, 0x34, 0x3401):
        board.registers.write(offset, size, value)
    assert board.asked == []


def test_reading_the_event_selector_clears_it(board: Board) -> None:
    assert board.registers.read(EVENTS, 4) == 0
    board.registers.press_power_button()
    board.registers.add_slot(3)
    assert board.asked == ["interrupt", "interrupt"]
    assert board.registers.read(EVENTS, 1) == 0xFF, "another width reads nothing and clears nothing"
    assert board.registers.read(EVENTS, 4) == 3
    assert board.registers.read(EVENTS, 4) == 0
    assert board.registers.read(SLOTS, 4) == 1 << 3


def test_each_event_raises_the_interrupt_again(board: Board) -> None:
    board.registers.press_power_button()
    board.registers.press_power_button()
    assert board.asked == ["interrupt", "interrupt"], "a guest that missed an edge gets another"
    assert board.registers.read(EVENTS, 4) == 1


def test_a_reboot_forgets_events_but_not_slots(board: Board) -> None:
    board.registers.set_slots_present(0b101)
    board.registers.press_power_button()
    board.registers.reset()
    assert board.registers.read(EVENTS, 4) == 0
    assert board.registers.read(SLOTS, 4) == 0b101


def test_other_reads(board: Board) -> None:
    assert [board.registers.read(offset, 1) for offset in (SLEEP_CONTROL, SLEEP_STATUS, RESET)] == [0, 0, 0]
    assert board.registers.read(3, 1) == 0xFF
    assert board.registers.read(SLEEP_CONTROL, 2) == 0xFFFF
    assert board.registers.read(12, 4) == 0xFFFF_FFFF


def test_no_press_is_lost_between_threads() -> None:
    """Every press is seen by the read after it, whatever the vCPU reads meanwhile."""
    pending = threading.Semaphore(0)
    registers = PowerRegisters(on_poweroff=nothing, on_reset=nothing, raise_interrupt=pending.release)
    seen = []

    def vcpu() -> None:
        for _ in range(2000):
            assert pending.acquire(timeout=60)
            seen.append(registers.read(EVENTS, 4))

    reader = threading.Thread(target=vcpu)
    reader.start()
    for _ in range(2000):
        registers.press_power_button()
    reader.join()
    assert seen[0] == 1
    assert registers.read(EVENTS, 4) == 0
    assert set(seen) <= {0, 1}


def test_reset_line_of_the_keyboard_controller() -> None:
    pulses = []
    port = I8042CommandPort(lambda: pulses.append(command))
    for command in range(256):
        port.write(0, 1, command)
    assert pulses == list(range(0xF0, 0x100, 2))
    assert 0xFE in pulses, "what Linux writes"


def test_keyboard_controller_is_idle() -> None:
    status = I8042CommandPort(nothing).read(0, 1)
    assert status & 0x03 == 0, "nothing to read, and ready for a command"
    data = I8042DataPort()
    data.write(0, 1, 0xED)
    assert data.read(0, 1) == 0
