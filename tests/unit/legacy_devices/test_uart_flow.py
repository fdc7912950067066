"""Bytes between the guest and the chardev: all of them, in order, in bounded memory, or counted."""

from __future__ import annotations

import random
import threading

from tests.unit.legacy_devices.serial_rig import DATA_READY, FCR, LSR, MCR, RBR, THR, SerialRig
from vmm_main.kvm._kvm import ffi, lib

RING_BYTES = int(lib.UART16550_TRANSMIT_BYTES)
MEBIBYTE = 1 << 20


def test_a_pasted_megabyte_arrives_whole(rig: SerialRig) -> None:
    """The driver's thread reads by the vCPU loop's entries, while the event loop brings more."""
    pasted = random.Random(3).randbytes(MEBIBYTE)
    rig.write(FCR, 0xC1)
    arrived = bytearray()

    def driver() -> None:
        value = ffi.new("uint8_t *")
        while len(arrived) < len(pasted):
            lib.uart16550_io_read(rig.uart.c, LSR, value)
            if value[0] & DATA_READY:
                lib.uart16550_io_read(rig.uart.c, RBR, value)
                arrived.append(value[0])
        rig.loop.call_soon(rig.loop.stop)

    rig.host.send(pasted)
    assert len(rig.host.pending) > MEBIBYTE - 8192, "the rest waits on the host's side"
    guest = threading.Thread(target=driver)
    guest.start()
    rig.loop.run()
    guest.join()
    assert bytes(arrived) == pasted
    assert rig.host.largest_piece <= lib.UART16550_BACKLOG_BYTES


def test_the_event_loop_is_told_once_when_half_the_backlog_is_free(rig: SerialRig) -> None:
    rig.write(FCR, 0x01)
    rig.host.send(bytes(10_000))
    left = len(rig.host.pending)
    for _ in range(lib.UART16550_BACKLOG_BYTES // 2 - 1):
        rig.read(RBR)
    rig.turn()
    assert len(rig.host.pending) == left, "not for every byte"
    rig.read(RBR)
    rig.turn()
    assert left - len(rig.host.pending) == lib.UART16550_BACKLOG_BYTES // 2


def test_room_that_comes_by_leaving_loopback_is_told_too(rig: SerialRig) -> None:
    rig.host.send(bytes(range(250)) * 40)
    rig.write(MCR, 0x10)
    rig.write(MCR, 0x00)
    received = bytearray()
    for _ in range(100):
        received += rig.read_all()
        rig.turn()
    assert bytes(received) == bytes(range(250)) * 40


def test_output_reaches_the_host_in_order(rig: SerialRig) -> None:
    data = random.Random(4).randbytes(3 * RING_BYTES)
    for start in range(0, len(data), 5000):
        for byte in data[start : start + 5000]:
            rig.write(THR, byte)
        rig.turn()
    assert bytes(rig.host.taken) == data
    assert rig.host.dropped_bytes == 0


def test_a_reader_that_takes_little_at_a_time_gets_everything(rig: SerialRig) -> None:
    data = random.Random(5).randbytes(50_000)
    rig.host.room = 0
    for byte in data:
        rig.write(THR, byte)
    rig.turn()
    assert rig.host.front_end is not None
    rounds = 0
    while len(rig.host.taken) < len(data):
        rig.host.room = 7_001
        rig.host.front_end.output_possible()
        rounds += 1
        assert rounds < 100
    assert bytes(rig.host.taken) == data


def test_what_the_ring_has_no_room_for_is_dropped_and_counted(rig: SerialRig) -> None:
    rig.host.room = 0
    too_much = 1234
    for i in range(RING_BYTES + too_much):
        rig.write(THR, i & 0xFF)
        if i % 1000 == 0:
            rig.turn()
    rig.turn()
    assert rig.host.front_end is not None
    rig.host.room = 1 << 30
    rig.host.front_end.output_possible()
    assert bytes(rig.host.taken) == bytes(range(256)) * (RING_BYTES // 256)
    rig.write(THR, ord("!"))
    rig.turn()
    assert rig.host.taken.endswith(b"!"), "the ring takes bytes again"
    rig.host.room = 0
    rig.uart.flush_at_exit(0)
    assert rig.host.dropped_bytes == too_much


def test_what_the_reader_does_not_take_at_the_end_is_counted(rig: SerialRig) -> None:
    rig.host.room = 0
    for byte in b"last words":
        rig.write(THR, byte)
    rig.host.room = 4
    rig.uart.flush_at_exit(0)
    assert bytes(rig.host.taken) == b"last"
    assert rig.host.dropped_bytes == len(" words")


def test_a_guest_that_never_stops_sending_lets_the_loop_do_other_things(rig: SerialRig) -> None:
    """Eight chunks a turn: a callback that was due before still comes."""
    for i in range(RING_BYTES // 2):
        rig.write(THR, i & 0xFF)

    def send_as_much_again(length: int) -> None:
        for _ in range(length):
            rig.write(THR, 0)

    rig.host.on_write = send_as_much_again
    rig.loop.run_once(0)
    chunks = len(rig.host.sizes_offered)
    assert 0 < chunks <= 8
    rig.loop.run_once(0)
    assert len(rig.host.sizes_offered) > chunks, "and it goes on at the next turn"


def test_output_survives_a_reset(rig: SerialRig) -> None:
    for byte in b"panic":
        rig.write(THR, byte)
    rig.uart.reset(-1, 4)
    rig.turn()
    assert bytes(rig.host.taken) == b"panic"
