"""Each row of the table of attacks, by a process of each registered kind, beside devices that go on.

What must come of a row is in it. Besides, whatever it is: QMP answers, main's descriptors and memory are what
they were, the other devices' data are right, the VM runs on, and a driver that resets the device has a good
one.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from device_procs.device_registry import KINDS
from tests.device.hostile_device.conftest import StartVm
from tests.device.hostile_device.hostile_vm import BAD, HostileVm
from tests.device.hostile_device.performance import expect_descriptors, perform
from tests.device.hostile_device.table import rows

pytestmark = pytest.mark.timeout(3600)

REAL_KINDS = tuple(KINDS)
_LOG_BYTES_PER_ATTACK = 8000
# So many once more, after all.
_MORE = 20
# What the allocator may keep of a whole pass: in ten passes over all, packets that are kept would be more.
_GROWTH_KIB = 1024


@pytest.mark.parametrize("kind", REAL_KINDS)
def test_all(start_vm: StartVm, kind: str, full: bool, repetitions: Callable[[int], int]) -> None:
    """In any order; the first pass over all is for the allocator, too."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    attacks = rows(kind, REAL_KINDS, full=full)
    vm = start_vm(kind)
    with ExitStack() as stack:
        stack.enter_context(vm.watch)
        neighbours = stack.enter_context(vm.neighbours())
        vm.drivers[BAD].driver_ok()
        neighbours.wait_for_turns()
        descriptors, memory_kib = vm.descriptors(), []
        order = random.Random(seed)
        for number in range(repetitions(10) + 1):
            order.shuffle(attacks)
            for attack in attacks if number < repetitions(10) else attacks[:_MORE]:
                try:
                    perform(vm, neighbours, attack)
                    expect_descriptors(vm, descriptors)
                except BaseException as error:
                    error.add_note(f"the attack: {attack.name}; main's status: {vm.process.poll()}")
                    raise
            memory_kib.append(vm.memory_kib())
    print(f"{len(attacks)} attacks; main's memory after each pass in KiB: {memory_kib}")
    assert memory_kib[-1] - memory_kib[0] < _GROWTH_KIB
    vm.end()
    neighbours.disk.check_image(vm.image)
    _check_log(vm, len(attacks) * len(memory_kib))


def _check_log(vm: HostileVm, attacks: int) -> None:
    """Nothing that a process says goes into the log as it is, nor as often as it likes."""
    text = vm.log.read_bytes()
    assert all(character == 10 or 32 <= character < 127 for character in text)
    assert len(text) < attacks * _LOG_BYTES_PER_ATTACK
