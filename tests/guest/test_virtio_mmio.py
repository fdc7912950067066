"""A driver in a guest, a device behind KVM's irqfd and ioeventfd, and virtio-mmio between them."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.guest.bare_metal_image import BareMetalImages
from tests.guest.conftest import StartBareMetal
from tests.guest.guest_report import GuestReport, secrets_of
from tests.guest.running_vm import BareMetalVm
from tests.guest.stand_in_device import FEATURES, FIRST_PATTERN, QUEUES, disguise
from tests.style.source_tree import CHECKOUT

pytestmark = pytest.mark.timeout(300)

_MASK = (1 << 64) - 1
# As programs/virtio.c has them.
_REQUESTS, _REQUEST_BYTES, _ANSWER_BYTES = 3, 16, 24
_SECRETS_OF_A_USE = _REQUESTS * _REQUEST_BYTES
_QUEUES_USED = (0, 1, 0, 1)


@pytest.fixture
def start_with_devices(images: BareMetalImages, tmp_path: Path) -> Iterator[StartBareMetal]:
    """start_with_devices(how many, programme, ...): a VM whose first slots hold stand-ins."""
    with ExitStack() as stack:

        def start_one(devices: int, test: str, *arguments: str, **options: Any) -> BareMetalVm:
            program = tmp_path / "vmm"
            program.write_text(
                f"#!/bin/sh\nPYTHONPATH={shlex.quote(str(CHECKOUT))} STAND_IN_DEVICES={devices} "
                f'exec {shlex.quote(sys.executable)} -m tests.guest.stand_in_vmm "$@"\n'
            )
            program.chmod(0o700)
            vm = BareMetalVm(str(program), tmp_path, images.form("pvh"), test, *arguments, **options)
            stack.callback(vm.close)
            return vm

        yield start_one


def _sum_of_answers(secrets: list[int], queue: int) -> int:
    total = 0
    for request in range(0, len(secrets), _REQUEST_BYTES):
        asked = bytes(secret & 0xFF for secret in secrets[request : request + _REQUEST_BYTES])
        for byte in disguise(asked, _ANSWER_BYTES, queue):
            total = total * 31 + byte & _MASK
    return total


def _check_boot(report: GuestReport, nonce: int, devices: int) -> None:
    """Everything that the guest says of one boot in which all devices are fresh."""
    secrets = iter(secrets_of(nonce, devices * (len(_QUEUES_USED) * _SECRETS_OF_A_USE + 1)))
    answers, patterns = [], []
    for _ in range(devices):
        for position, queue in enumerate(_QUEUES_USED):
            if position == 3:  # after the command, which has a secret, and the reset
                patterns.append((next(secrets) & 0xFFFF_FFFF) >> 1)
            answers.append(_sum_of_answers([next(secrets) for _ in range(_SECRETS_OF_A_USE)], queue))
    assert report.number("present") == (1 << devices) - 1
    assert report.numbers("slot") == list(range(devices))
    assert report.numbers("empty") == [0xFFFF_FFFF] * (11 - devices)
    assert report.numbers("answers") == answers
    assert report.numbers("new-pattern") == patterns
    pattern_by_width = [FIRST_PATTERN & (1 << 8 * width) - 1 for width in (1, 2, 4, 8)]
    of_each_device = {
        "magic": [0x74726976],
        "version": [2],
        "device-id": [4],
        "vendor": [int.from_bytes(b"BULK", "little")],
        "status": [0],
        "interrupt-status": [0],
        "offered": [FEATURES],
        "shared-memory": [0xFFFF_FFFF],
        "last-queue": [256],
        "no-queue": [0],
        "pattern": pattern_by_width,
        "wrong-width": [0],
        "status-after": [0],
        "refused": [1],
        "refused-without-version": [1],
        "bad-queue": [0x4B],
        "ready": [QUEUES, QUEUES],
        "live": [0xF, 0xF],
        "written": [_REQUESTS * _ANSWER_BYTES] * len(_QUEUES_USED),
        # A kick each, and none for what isn't 32 bits wide or isn't a queue's number.
        "kicks": [3],
        # First the change of the configuration, then the device that needs a reset.
        "events": [3, 3],
        "left-pending": [1, 1],
        "new-generation": [1, 0],
        "needs-reset": [0x4F],
        "reset": [0],
        "reset-interrupt-status": [0],
        "interrupted": [1],
    }
    for name, values in of_each_device.items():
        assert report.numbers(name) == values * devices, name


def _end(vm: BareMetalVm, devices: int, boots: int = 1) -> GuestReport:
    """Reads the last report; what the drivers did wrong is in the log.

    A choice of features that is refused is there once for each device, a queue that can't be used each time
    that a driver has made its device need a reset.
    """
    report = vm.report.wait_for_seal()
    assert vm.serial.read_to_end() == b""
    vm.expect_end()
    warnings = [line.partition(" WARNING virtio-mmio: ")[2] for line in vm.errors().splitlines()]
    refused = "choice of features is refused: some aren't offered, or VIRTIO_F_VERSION_1 is missing"
    unusable = "queue 0 can't be used: its size isn't a power of two up to 256; the device needs a reset"
    assert warnings == [
        f"d{slot}: the driver's {mistake}"
        for boot in range(boots)
        for slot in range(devices)
        for mistake in ((refused, unusable) if boot == 0 else (unusable,))
    ]
    return report


@pytest.mark.parametrize("devices", [1, 11])
def test_a_driver_in_a_guest(start_with_devices: StartBareMetal, devices: int) -> None:
    vm = start_with_devices(devices, "virtio")
    report = _end(vm, devices)
    assert report.number("boot") == 0
    _check_boot(report, vm.nonce, devices)


def test_a_reboot_finds_running_devices_fresh(start_with_devices: StartBareMetal) -> None:
    times = 2
    vm = start_with_devices(2, "virtio", append=f"times={times}")
    for boot in range(times):
        report = vm.report.wait_for_seal()
        assert report.number("boot") == boot
        _check_boot(report, vm.nonce, 2)
        vm.next_boot()
    report = _end(vm, 2, boots=times + 1)
    assert report.number("boot") == times
    _check_boot(report, vm.nonce, 2)


def test_without_devices_there_is_nothing(start: StartBareMetal) -> None:
    report = start("virtio").expect_power_off()
    assert report.number("present") == 0
    assert report.numbers("empty") == [0xFFFF_FFFF] * 11


def test_too_many_devices_are_refused(start_with_devices: StartBareMetal) -> None:
    vm = start_with_devices(12, "virtio")
    vm.expect_end(1)
    assert vm.errors() == "bulkhead: 12 virtio-mmio devices: this board has 11 slots for them\n"
