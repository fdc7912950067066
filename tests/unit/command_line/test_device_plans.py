"""What becomes of all devices together: ids that are given out, the bus's room, the contract's advice."""

from __future__ import annotations

import pytest

from vmm_main.command_line.parser import parse
from vmm_main.errors import ConfigurationError
from vmm_main.vm_config import VmConfig

SOURCE = ["-object", "rng-random,id=r0,filename=/dev/urandom"]
DEVICE = "virtio-rng-device,rng=r0"


def vm(*devices: str) -> VmConfig:
    words = [word for device in devices for word in ("-device", device)]
    return parse(["-kernel", "vmlinux", *SOURCE, *words])


def ids(*devices: str) -> list[str | None]:
    return [device.device_id for device in vm(*devices).devices]


def refusal(*devices: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        vm(*devices)
    return str(caught.value)


def test_a_device_without_an_id_is_given_one() -> None:
    assert ids(DEVICE, DEVICE, DEVICE) == ["virtio-rng0", "virtio-rng1", "virtio-rng2"]


def test_ids_that_are_given_out_are_nobody_elses() -> None:
    """Neither of a device before nor of one that comes later."""
    asked = [f"{DEVICE},id=virtio-rng1", DEVICE, DEVICE, f"{DEVICE},id=virtio-rng0"]
    assert ids(*asked) == ["virtio-rng1", "virtio-rng2", "virtio-rng3", "virtio-rng0"]


def test_every_device_has_a_plan() -> None:
    config = vm(DEVICE, f"{DEVICE},max-bytes=64,period=1000")
    plans = [device.plan for device in config.devices]
    assert [plan and plan.config for plan in plans] == [
        {"max_bytes": 0, "period_ms": 0},
        {"max_bytes": 64, "period_ms": 1000},
    ]
    assert [[resource.path for resource in plan.resources] for plan in plans if plan] == [
        ["/dev/urandom"]
    ] * 2


def test_the_bus_has_room_for_eleven() -> None:
    assert len(vm(*[DEVICE] * 11).devices) == 11
    assert refusal(*[DEVICE] * 12) == "-device: 12 devices; allowed are 0 to 11 on the MMIO bus"


@pytest.mark.parametrize("count", [0, 1, 2])
def test_up_to_two_other_devices_are_fine(count: int) -> None:
    assert vm(*[DEVICE] * count).warnings == []


@pytest.mark.parametrize("count", [3, 11])
def test_more_than_two_other_devices_are_advised_against(count: int) -> None:
    warned = f"{count} devices are neither disk nor NIC; more than 2 are advised against"
    assert vm(*[DEVICE] * count).warnings == [warned]


@pytest.mark.parametrize(
    ("device", "said"),
    [
        ("virtio-rng-device,rng=r9", "rng=r9: there is no -object rng-random with this id"),
        (f"{DEVICE},period=1000", "period=1000: max-bytes is missing"),
        (f"{DEVICE},max-bytes=1000", "max-bytes=1000: period is missing"),
        (f"{DEVICE},max-bytes=63,period=1000", "is 63 bytes per second; allowed are 64 to 1000000000"),
    ],
)
def test_keys_that_dont_go_together(device: str, said: str) -> None:
    """The message names the device, by the id that it was given, since the option may be one of eleven."""
    message = refusal(DEVICE, device)
    assert message.startswith("-device virtio-rng-device,id=virtio-rng1: ")
    assert said in message
