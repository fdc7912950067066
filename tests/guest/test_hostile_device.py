"""A device's process that was taken over beside a real guest: KVM has its call eventfd and its kick eventfd.

What it may do to main is tested in the device layer, without KVM (tests/device/hostile_device/).
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.device.hostile_device import memory_attacks, packet_attacks
from tests.device.hostile_device.attack import Attack
from tests.device.hostile_device.hostile_vm import ENOUGH, PATIENT, hostile_environment
from tests.device.hostile_device.qmp_watch import QmpEvents, QmpWatch
from tests.device.hostile_device.table import kind_name
from tests.guest.bare_metal_image import BareMetalImages
from tests.guest.running_vm import DEADLINE_S, BareMetalVm

pytestmark = pytest.mark.timeout(300)

CHECKOUT = Path(__file__).resolve().parents[2]
PIECE = 64
ENDLESS = 1 << 60
ATTACKS = (
    memory_attacks.CALLS,
    packet_attacks.TALK,
    packet_attacks.FLOOD,
    *(attack for attack in memory_attacks.SHARED if "eventfds full" in attack.name),
)
StartReading = Callable[[int], BareMetalVm]


@pytest.fixture
def read(tmp_path: Path, images: BareMetalImages, monkeypatch: pytest.MonkeyPatch) -> Iterator[StartReading]:
    """Starts a guest that reads from the rng in a slot, of two; that in slot 0 is the hostile one."""
    os.mkfifo(tmp_path / "kinds")
    for name, value in hostile_environment(tmp_path / "kinds", ENOUGH, PATIENT).items():
        monkeypatch.setenv(name, value)
    program = tmp_path / "bulkhead"
    program.write_text(
        f'#!/bin/sh\ncd {CHECKOUT}\nexec {sys.executable} -m tests.device.hostile_device.hostile_main "$@"\n'
    )
    program.chmod(0o755)
    vms: list[BareMetalVm] = []

    def start(slot: int) -> BareMetalVm:
        options = ["-object", "rng-random,id=zeroes,filename=/dev/zero"]
        for device in ("bad", "good"):
            options += ["-device", f"virtio-rng-device,rng=zeroes,id={device}"]
        append = f"length={ENDLESS} piece={PIECE} slot={slot}"
        vm = BareMetalVm(
            str(program), tmp_path, images.form("pvh"), "entropy", *options, append=append, sockets=1
        )
        vms.append(vm)
        assert vm.report.wait_for("ready") == "0x1"
        return vm

    yield start
    for vm in vms:
        vm.close()


def _completed(qmp: QmpEvents, device: str) -> int:
    answer = qmp.answer("query-device-metrics", id=device)
    return int(answer["return"]["queues"][0]["completed"]) if "return" in answer else 0


def _wait_for_progress(qmp: QmpEvents, device: str) -> None:
    """The guest goes on reading from a device."""
    expires = time.monotonic() + DEADLINE_S
    before = _completed(qmp, device)
    while _completed(qmp, device) < before + 10:
        assert time.monotonic() < expires, "the guest gets nothing"


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
@pytest.mark.parametrize("slot", [0, 1], ids=["its own driver", "another's driver"])
def test_the_guest_goes_on(read: StartReading, tmp_path: Path, attack: Attack, slot: int) -> None:
    """Reading from another device all along; from the hostile one again once that has a good process."""
    vm = read(slot)
    qmp = QmpEvents(vm.paths[0])
    with QmpWatch(vm.paths[0]) as watch:
        _wait_for_progress(qmp, ("bad", "good")[slot])
        kinds = os.open(tmp_path / "kinds", os.O_WRONLY | os.O_NONBLOCK)
        os.write(kinds, f"{kind_name('virtio-rng', attack)}\n".encode())
        os.close(kinds)
        qmp.ask("device_process_restart", id="bad")
        qmp.wait_for("DEVICE_PROCESS_RESTARTED", id="bad")
        answered = len(watch.round_trips_s)
        if slot == 1:
            _wait_for_progress(qmp, "good")
        assert watch.slowest_since(answered) < DEADLINE_S
        qmp.ask("device_process_restart", id="bad")
        _wait_for_progress(qmp, ("bad", "good")[slot])
    assert qmp.ask("query-status")["status"] == "running"
    qmp.ask("quit")
    qmp.close()
    vm.expect_end()
    assert all(" WARNING supervisor: device bad: " in line for line in vm.errors().splitlines())
