"""Every system call that a profile lets through, with the worst arguments, from the thread that may make it.

Arguments are at random from a pool of bad ones, within what the rule's conditions let through: every
descriptor that is open, lengths and offsets that wrap, addresses of nothing, of the kernel, and of what the
process shares with main. The process may end of it or hang. Nobody else may, and the image must be no larger
than it was.
"""

from __future__ import annotations

import ctypes
import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from device_procs.device_registry import KINDS
from tests.device.hostile_device.call_attacks import CONTROL_STORM, WORKER_STORM
from tests.device.hostile_device.conftest import StartVm
from tests.device.hostile_device.hostile_vm import BAD, HostileVm
from tests.device.hostile_device.neighbours import Neighbours
from tests.device.hostile_device.performance import (
    begin,
    expect_all_well,
    expect_descriptors,
    expect_recovery,
)
from tests.device.hostile_device.qmp_watch import HANGS_AFTER_S
from tests.device.hostile_device.storms import CONTROL, Storm, storms_of

pytestmark = pytest.mark.timeout(3600)

REAL_KINDS = dict(KINDS)
# A storm that ends its process at once is tried again, with other arguments.
_LIVES, _ENOUGH_CALLS = 4, 50
# So often what blocks is woken in vain before it counts as out of sight: it may have unmapped the scoreboard.
_WAKES = 100
# What ends a process whatever its arguments are.
_ENDS = ("exit_group", "rt_sigreturn")
_ABOUT_THE_SOCKET = ("sendto", "recvfrom")
# Of 512 bytes, for the map of a file that has become one of many pieces.
_MAP_BLOCKS = 64
_libc = ctypes.CDLL(None)


@pytest.mark.parametrize("kind", REAL_KINDS)
def test_with_the_worst_arguments(start_vm: StartVm, kind: str, repetitions: Callable[[int], int]) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance, rounds = random.Random(seed), repetitions(3000)
    vm = start_vm(kind)
    size, blocks = os.stat(vm.bad_image).st_size, os.stat(vm.bad_image).st_blocks
    with ExitStack() as stack:
        stack.enter_context(vm.watch)
        neighbours = stack.enter_context(vm.neighbours())
        vm.drivers[BAD].driver_ok()
        descriptors = vm.descriptors()
        for storm in storms_of(REAL_KINDS[kind][1]):
            try:
                calls, failed = _lives(vm, neighbours, storm, chance, rounds)
                expect_descriptors(vm, descriptors)
                now = os.stat(vm.bad_image)
                assert now.st_size == size
                assert now.st_blocks <= max(blocks, size // 512) + _MAP_BLOCKS
            except BaseException as error:
                error.add_note(f"the storm: {storm}; main: {vm.process.poll()}")
                raise
            print(f"{storm}: {calls} calls, {failed} of them failed")
            assert calls >= (1 if storm.rule.call in _ENDS else _LIVES)
    vm.end()
    neighbours.disk.check_image(vm.image)


def _lives(
    vm: HostileVm, neighbours: Neighbours, storm: Storm, chance: random.Random, rounds: int
) -> tuple[int, int]:
    """Has the storm made by one process, or by some if they end of it soon; returns calls and failed ones."""
    calls, failed = 0, 0
    for _ in range(_LIVES):
        answered = len(vm.watch.round_trips_s)
        vm.board.order_storm(
            storm.number,
            chance.getrandbits(63),
            storm.clear,
            storm.wanted,
            rounds=rounds,
            spares_socket=storm.rule.call not in _ABOUT_THE_SOCKET,
        )
        begin(vm, CONTROL_STORM if storm.thread == CONTROL else WORKER_STORM)
        _wait_for_end(vm)
        made, refused, _ = vm.board.read()
        calls, failed = calls + made, failed + refused
        expect_recovery(vm)
        expect_all_well(vm, neighbours, answered)
        if calls >= _ENOUGH_CALLS:
            break
    return calls, failed


def _wait_for_end(vm: HostileVm) -> None:
    """Until all calls are made, or the process has ended of them, or nothing can be seen of it any more."""
    expires = time.monotonic() + HANGS_AFTER_S
    pid, before, wakes = vm.pid_or_none(), -1, 0
    while wakes < _WAKES and not vm.qmp.has_heard("DEVICE_PROCESS_DIED"):
        calls, _, done = vm.board.read()
        if done:
            return
        wakes = 0 if calls != before else wakes + 1
        if wakes and pid is not None:
            _wake(pid)
        before = calls
        vm.qmp.wait_a_moment()
        assert time.monotonic() < expires, f"{calls} calls, and no end"


def _wake(pid: int) -> None:
    """Interrupts whatever its threads wait in."""
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            _libc.tgkill(pid, int(thread), signal.SIGUSR1)
    except FileNotFoundError:
        return  # it has ended
