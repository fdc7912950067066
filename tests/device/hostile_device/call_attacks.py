"""Storms of one system call with the worst arguments, from either thread; the test says which call."""

from __future__ import annotations

import fcntl
import os
from typing import Any

from device_procs.data_plane._data_plane import ffi as data_plane
from tests.device.hostile_device.attack import Attack
from tests.device.hostile_device.calls_extension import ffi, lib
from tests.device.hostile_device.hostile_process import HostileProcess
from tests.device.hostile_device.scoreboard import RAM_BYTES, STORM, STORM_GPA

# Numbers that are wrong as lengths, offsets, flags, times, addresses.
_NUMBERS = (0, 1, 2, 3, 4, 7, 8, 16, 32, 48, 64, 255, 4095, 4096, 65536, 1 << 20, (1 << 31) - 1, 1 << 31,
            (1 << 32) - 1, 1 << 32, (1 << 47) - 4096, 1 << 47, 1 << 63, -1, -2, -4096,
            0xFFFF888000000000)  # fmt: skip
_NO_DESCRIPTORS = (255, 256, -1, -100, (1 << 31) - 1)
_DESCRIPTORS_AT_MOST = 64
_UINT64 = (1 << 64) - 1

# The worker's, of a process that has one to make.
worker_storm = ffi.new("struct hostile_storm *")


def worker_operations() -> tuple[Any, Any]:
    """Those of a device whose worker makes the storm."""
    operations = int(ffi.cast("uintptr_t", lib.hostile_ops()))
    storm = int(ffi.cast("uintptr_t", worker_storm))
    return data_plane.cast("struct device_ops *", operations), data_plane.cast("void *", storm)


_open_descriptors: list[int] = []


def prepare_storm() -> None:
    """Before a process has a filter of its own: it can be woken, and knows what it holds."""
    for fd in range(_DESCRIPTORS_AT_MOST):
        try:
            fcntl.fcntl(fd, fcntl.F_GETFD)
        except OSError:
            continue
        _open_descriptors.append(fd)
    error = lib.hostile_can_be_woken()
    if error < 0:
        raise OSError(-error, os.strerror(-error))


def _fill(storm: Any, it: HostileProcess) -> None:
    fields = STORM.unpack(it.guest(STORM_GPA, STORM.size)[:])
    storm.number, storm.seed, spares_socket, rounds = fields[:4]
    storm.clear, storm.set = fields[4:10], fields[10:16]
    storm.board = ffi.cast("struct hostile_board *", it.board)
    socket = it.socket.fileno()
    # The workers' own eventfds and rings come after what was there; a few more, then.
    highest = max(_open_descriptors)
    held = [*_open_descriptors, *range(highest + 1, highest + 5)]
    descriptors = [fd & _UINT64 for fd in (*held, *_NO_DESCRIPTORS) if fd != socket]
    descriptors += [] if spares_socket else [socket] * len(descriptors)
    # The last page: from any other, a long read from the host would write over other devices' rings as well.
    guest = it.guest(RAM_BYTES - 4096, 4096)
    addresses = [it.address_of(place) for place in (it.box, guest, *it.logs())]
    values = [number & _UINT64 for number in (*_NUMBERS, *addresses, *[each + 4095 for each in addresses])]
    likely = [0, 0, 0, 0, 1, 8, 4096, addresses[0], addresses[1]]
    storm.descriptors[0 : len(descriptors)], storm.descriptor_count = descriptors, len(descriptors)
    storm.values[0 : len(values)], storm.value_count = values, len(values)
    storm.likely[0 : len(likely)], storm.likely_count = likely, len(likely)
    storm.rounds = rounds


def _in_control_thread(it: HostileProcess) -> None:
    storm = ffi.new("struct hostile_storm *")
    _fill(storm, it)
    lib.hostile_storm_run(storm)


def _in_worker(it: HostileProcess) -> None:
    _fill(worker_storm, it)


def _all_shared_memory(it: HostileProcess) -> None:
    """Memory that no limit of a process counts, 16 GiB of it, untouched."""
    _map(it, 0x21, 1 << 34)


def _all_private_memory(it: HostileProcess) -> None:
    """Private memory, as much as its limit lets it have."""
    while _map(it, 0x22, 1 << 24):
        pass


def _map(it: HostileProcess, flags: int, length: int) -> bool:
    mapped = lib.hostile_map(length, flags)
    it.count(failed=not mapped, length=length if mapped else 0)
    return bool(mapped)


CONTROL_STORM = Attack("a storm of calls in the control thread", _in_control_thread)
WORKER_STORM = Attack("a storm of calls in a worker", _in_worker)
STORMS = (CONTROL_STORM, WORKER_STORM)
EXHAUSTION = (
    Attack("all the private memory it can have", _all_private_memory),
    Attack("shared memory of its own", _all_shared_memory,
           dies=r"refused system call mmap \(9\) by the control thread at 0x[0-9a-f]+"),
)  # fmt: skip
