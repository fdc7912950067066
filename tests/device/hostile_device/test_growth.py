"""Main holds nothing of hostile processes that have died: neither a descriptor nor memory, however many came.

Attacks that cost little are made in one VM, one process after the other, each of which dies of its own.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable

import pytest

from device_procs.device_registry import KINDS, module_of
from tests.device.hostile_device import memory_attacks, packet_attacks
from tests.device.hostile_device.conftest import StartVm
from tests.device.hostile_device.hostile_vm import BAD, HostileVm
from tests.device.hostile_device.performance import check_cause, expect_recovery
from tests.device.hostile_device.qmp_watch import HANGS_AFTER_S

pytestmark = pytest.mark.timeout(600)

# Of which main keeps most while it lives: an in-flight log, too.
KIND = next(kind for kind in KINDS if not module_of(kind).completes_in_order)
# By the size of a packet, by its form, by the number of messages, by words for the log, by the black box.
ATTACKS = tuple(
    attack
    for attack in (*packet_attacks.FORMS, *packet_attacks.ORDERS, *memory_attacks.BLACK_BOX)
    if attack.name
    in (
        "oversized",
        "noise",
        "a flood of LOG",
        "last words that take over the terminal, and life goes on",
        "black box: noise, then its end",
    )
)
assert len(ATTACKS) == 5
# Of five deaths each. After these main has all the memory that it needs for any of them: until there it grew
# by some 80 KiB, and by 4 to 24 in the eight rounds that follow.
WARM_UP_ROUNDS = 5
# Where in its pages the allocator puts what it has is chance: a dozen pages. On top comes less than what main
# would keep of each death if it kept a message's words, or a packet all the more.
ALLOWED_KIB, ALLOWED_KIB_PER_DEATH = 48, 0.25


_LOOKS, _LOOK_AGAIN_S = 25, 0.02


def make_round(vm: HostileVm) -> None:
    """One process after the other makes one of the attacks, and a good one comes after the last."""
    vm.qmp.forget()
    for attack in ATTACKS:
        vm.name_next(attack)
    vm.qmp.ask("device_process_restart", id="bad")
    vm.qmp.wait_for("DEVICE_PROCESS_DIED", id="bad", cause="replaced by device_process_restart")
    for attack in ATTACKS:
        died = vm.qmp.wait_for("DEVICE_PROCESS_DIED", id="bad", action="restart")
        assert attack.dies is not None
        check_cause(died["cause"], attack.dies)
    expect_recovery(vm)


def growth(vm: HostileVm, warm_up: int, rounds: int) -> list[str]:
    """What main holds more of after so many rounds than before them, in words."""
    vm.drivers[BAD].driver_ok()
    for _ in range(warm_up):
        make_round(vm)
    descriptors, memory_kib = settled_descriptors(vm), vm.memory_kib()
    for _ in range(rounds):
        make_round(vm)
    deaths, found = rounds * len(ATTACKS), []
    if (now := settled_descriptors(vm, descriptors)) != descriptors:
        found.append(f"{now} descriptors instead of {descriptors} after {deaths} deaths")
    grown_kib = vm.memory_kib() - memory_kib
    allowed_kib = ALLOWED_KIB + ALLOWED_KIB_PER_DEATH * deaths
    print(f"{deaths} deaths: {descriptors} descriptors, memory {memory_kib} KiB and {grown_kib} KiB more")
    if grown_kib > allowed_kib:
        found.append(f"{grown_kib} KiB more after {deaths} deaths; allowed are {allowed_kib:g}")
    return found


def settled_descriptors(vm: HostileVm, expected: int | None = None) -> int:
    """How many main has open, once it is as expected, or the same for a while; soon in any case.

    A zygote that has been replaced ends in its own time, and main has a socket and a pidfd of it until then.
    """
    expires, seen = time.monotonic() + HANGS_AFTER_S / 10, [vm.descriptors()]
    while time.monotonic() < expires:
        if seen[-1] == expected or (
            expected is None and len(seen) > _LOOKS and len(set(seen[-_LOOKS:])) == 1
        ):
            break
        select.select([], [], [], _LOOK_AGAIN_S)  # its end has no event here
        vm.qmp.ask("query-status")  # what it has still to close, it closes before
        seen.append(vm.descriptors())
    return seen[-1]


def test_main_keeps_nothing_of_the_dead(start_vm: StartVm, repetitions: Callable[[int], int]) -> None:
    vm = start_vm(KIND)
    assert growth(vm, WARM_UP_ROUNDS, repetitions(80)) == []
    vm.end()


def test_what_main_keeps_is_noticed(start_vm: StartVm) -> None:
    """A descriptor and 64 KiB of each: more than there may have been room for."""
    deaths = 2 * len(ATTACKS)
    descriptors, memory = growth(start_vm(KIND, leak_bytes=64 << 10), 1, 2)
    assert descriptors.endswith(f" after {deaths} deaths")
    assert int(descriptors.split()[0]) == int(descriptors.split()[4]) + deaths
    assert memory.endswith(f"KiB more after {deaths} deaths; allowed are 50.5")
