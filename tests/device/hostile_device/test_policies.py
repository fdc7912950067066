"""The VM ends or pauses only if a policy says so: each policy, with attacks that never stop."""

from __future__ import annotations

import pytest

from tests.device.hostile_device import memory_attacks, packet_attacks, schema_attacks
from tests.device.hostile_device.attack import Attack
from tests.device.hostile_device.conftest import StartVm
from tests.device.hostile_device.hostile_vm import BAD, HostileVm
from tests.device.hostile_device.neighbours import Neighbours
from tests.device.hostile_device.performance import begin, expect_all_well, expect_recovery

pytestmark = pytest.mark.timeout(300)

KIND = "virtio-rng"
RESTARTS = 3
# An attack by what a process says, by what it does, by how often, and by what main reads of it afterwards.
WAYS = {
    attack.name: attack
    for attack in (*packet_attacks.FORMS, *packet_attacks.ORDERS, *memory_attacks.BLACK_BOX)
    if attack.name
    in ("oversized", "a descriptor for main", "a flood of LOG", "black box: noise, then its end")
}
assert len(WAYS) == 4


def _expect_needs_reset(vm: HostileVm, neighbours: Neighbours) -> None:
    """The device alone is given up, until its driver resets it; nobody else notices."""
    assert vm.qmp.wait_for("DEVICE_NEEDS_RESET", id="bad")["reason"].startswith("its process is gone: ")
    answered = len(vm.watch.round_trips_s)
    assert vm.state() == "needs-reset"
    assert vm.drivers[BAD].order("look")["needs_reset"]
    expect_all_well(vm, neighbours, answered)
    assert not vm.qmp.has_heard("STOP")
    expect_recovery(vm)


def _expect_stop(vm: HostileVm, neighbours: Neighbours) -> None:
    """The VM is paused, with the reason; cont goes on with a good process."""
    assert vm.qmp.wait_for("STOP")["reason"].startswith("device bad: its process is gone: ")
    assert vm.qmp.ask("query-status")["status"] == "paused"
    assert vm.state() == "stopped"
    vm.qmp.ask("cont")
    expect_recovery(vm)
    neighbours.wait_for_turns()


EXPECTED = {"needs-reset": _expect_needs_reset, "stop": _expect_stop}


@pytest.mark.parametrize("policy", ["needs-reset", "stop"])
def test_on_death(start_vm: StartVm, policy: str) -> None:
    vm = start_vm(KIND, policy=f",on-death={policy}")
    with vm.watch, vm.neighbours() as neighbours:
        vm.drivers[BAD].driver_ok()
        for attack in WAYS.values():
            begin(vm, attack)
            assert vm.qmp.wait_for("DEVICE_PROCESS_DIED", id="bad")["action"] == policy
            EXPECTED[policy](vm, neighbours)
            neighbours.wait_for_turns()
    vm.end()
    neighbours.disk.check_image(vm.image)


@pytest.mark.parametrize("policy", ["needs-reset", "stop"])
@pytest.mark.parametrize("way", WAYS)
def test_on_restart_limit(start_vm: StartVm, policy: str, way: str) -> None:
    """Every successor attacks too: after as many as are allowed, the policy decides."""
    vm = start_vm(KIND, policy=f",on-restart-limit={policy}", restarts=RESTARTS)
    with vm.watch, vm.neighbours() as neighbours:
        vm.drivers[BAD].driver_ok()
        vm.name_next(WAYS[way], times=RESTARTS)
        begin(vm, WAYS[way])
        for _ in range(RESTARTS):
            vm.qmp.wait_for("DEVICE_PROCESS_DIED", id="bad", action="restart")
        vm.qmp.wait_for("DEVICE_PROCESS_DIED", id="bad", action=policy)
        EXPECTED[policy](vm, neighbours)
        neighbours.wait_for_turns()
    vm.end()
    neighbours.disk.check_image(vm.image)


@pytest.mark.parametrize("lie", schema_attacks.FIRST_LIES, ids=lambda lie: lie.name)
def test_a_lie_at_the_first_ready(start_vm: StartVm, lie: Attack) -> None:
    """What main has cached of it no successor has: none is taken, and that is the device's loss alone."""
    vm = start_vm(KIND, policy=",on-restart-limit=needs-reset", restarts=RESTARTS, first=lie)
    with vm.watch, vm.neighbours() as neighbours:
        neighbours.wait_for_turns()
        answered = len(vm.watch.round_trips_s)
        vm.qmp.ask("device_process_restart", id="bad")
        vm.qmp.wait_for("DEVICE_PROCESS_DIED", id="bad", cause="replaced by device_process_restart")
        for _ in range(RESTARTS):
            cause = vm.qmp.wait_for("DEVICE_PROCESS_DIED", id="bad", action="restart")["cause"]
            assert cause.startswith("came back with other features or another config space")
        vm.qmp.wait_for("DEVICE_PROCESS_DIED", id="bad", action="needs-reset")
        expect_all_well(vm, neighbours, answered)
    vm.end()
    neighbours.disk.check_image(vm.image)
