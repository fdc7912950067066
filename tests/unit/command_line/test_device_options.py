"""-device and -object: what they come to, in both spellings, and what is refused with which words."""

from __future__ import annotations

import json
from typing import Any

import pytest

from device_procs.device_registry import KINDS, module_of
from vmm_main.command_line.device_options import TABLE, DeviceVariants, ObjectVariants
from vmm_main.command_line.parser import parse
from vmm_main.errors import ConfigurationError
from vmm_main.vm_config import DeviceConfig

SOURCE = ["-object", "rng-random,id=r0,filename=/dev/urandom"]
DEVICE = "virtio-rng-device,rng=r0"


def devices(*values: str) -> list[DeviceConfig]:
    """The devices of these -device options."""
    words = [word for value in values for word in ("-device", value)]
    return parse(["-kernel", "vmlinux", *SOURCE, *words]).devices


def refusal(*arguments: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        parse(["-kernel", "vmlinux", *arguments])
    return str(caught.value)


def refused_device(value: str) -> str:
    return refusal(*SOURCE, "-device", value)


def test_a_device_with_every_key() -> None:
    keys = "id=rng7,max-bytes=1234,period=1000,on-death=needs-reset,on-restart-limit=needs-reset"
    (device,) = devices(f"{DEVICE},{keys}")
    assert (device.kind, device.device_id) == ("virtio-rng", "rng7")
    assert device.values == {"rng": "r0", "max-bytes": 1234, "period": 1000}
    assert (device.on_death, device.on_restart_limit) == ("needs-reset", "needs-reset")


def test_what_a_device_has_without_its_optional_keys() -> None:
    (device,) = devices(DEVICE)
    assert device.values == {"rng": "r0"}
    assert (device.on_death, device.on_restart_limit) == ("restart", "stop")


@pytest.mark.parametrize("driver", ["driver=virtio-rng-device", "Virtio-Rng-Device"])
def test_other_ways_to_name_the_driver(driver: str) -> None:
    assert [device.kind for device in devices(f"{driver},rng=r0")] == ["virtio-rng"]


def test_the_json_spelling() -> None:
    spelt: dict[str, Any] = {"driver": "virtio-rng-device", "rng": "r0", "max-bytes": 1234, "period": 1000}
    (by_json,) = devices(json.dumps(spelt))
    (by_list,) = devices(f"{DEVICE},max-bytes=1234,period=1000")
    assert [by_json.kind, by_json.values, by_json.plan and by_json.plan.config] == [
        by_list.kind,
        by_list.values,
        by_list.plan and by_list.plan.config,
    ]
    objects = {"qom-type": "rng-random", "id": "r0", "filename": "/dev/random"}
    config = parse(["-kernel", "k", "-object", json.dumps(objects), "-device", DEVICE])
    assert config.objects == {"r0": objects}


def test_an_object() -> None:
    config = parse(["-kernel", "k", "-object", "RNG-Random,id=a,filename=/dev/zero", *SOURCE])
    assert config.objects["a"] == {"qom-type": "rng-random", "id": "a", "filename": "/dev/zero"}
    assert set(config.objects) == {"a", "r0"}


def test_an_object_may_come_behind_its_device() -> None:
    config = parse(["-kernel", "k", "-device", DEVICE, *SOURCE])
    assert config.devices[0].plan is not None


@pytest.mark.parametrize("key", ["bus=pcie.0", "addr=0x1.0x0", "multifunction=on"])
@pytest.mark.parametrize("driver", [driver for driver, _ in KINDS.values()])
def test_keys_of_pci_are_refused_with_the_reason(driver: str, key: str) -> None:
    message = refused_device(f"{driver},{key}")
    assert message.startswith(f"-device {driver},{key}: no key {key.partition('=')[0]}: ")
    assert "on the MMIO bus, where slots are given out in the order of the options" in message


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("virtio-rgn-device", ["driver=virtio-rgn-device", "allowed is", "virtio-rng-device"]),
        ("virtio-rng-pci,rng=r0", ["driver=virtio-rng-pci", "unknown", "allowed is"]),
        ("id=rng0", ["driver= is missing"]),
        ("rng=r0", ["driver= is missing"]),
        (f"{DEVICE},max-bytes=-1", ["max-bytes=-1: out of range", "1 to "]),
        ("virtio-rng-device", ["rng= is missing"]),
        (f"{DEVICE},colour=red", ["no key colour", "allowed are driver, id, on-death"]),
        (f"{DEVICE},id=nine lives", ["' ' in an id", "allowed is"]),
        (f"{DEVICE},rng=r1", ["'rng' is given twice"]),
        (f"{DEVICE},on-death=ignore", ["on-death=ignore", "restart", "needs-reset", "stop"]),
        (f"{DEVICE},on-restart-limit=restart", ["on-restart-limit=restart", "needs-reset", "stop"]),
        (f"{DEVICE},period=0", ["period=0", "1 to 4294967295"]),
        (f"{DEVICE},max-bytes=many", ["max-bytes=many", "allowed"]),
        ('{"driver": "virtio-rng-device", "rng": null}', ["key rng", "allowed are strings"]),
        ('{"driver": "virtio-rng-device"', ["damaged JSON"]),
    ],
)
def test_what_is_refused(value: str, said: list[str]) -> None:
    message = refused_device(value)
    assert message.startswith("-device ")
    for words in said:
        assert words in message


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("rng-randon,id=x,filename=/y", ["qom-type=rng-randon", "allowed is rng-random"]),
        ("rng-random,filename=/dev/urandom", ["id= is missing"]),
        ("rng-random,id=x", ["filename= is missing"]),
        ("rng-random,id=x,filename=", ["filename=", "allowed"]),
        ("rng-random,id=x,filename=/y,bus=pcie.0", ["no key bus", "allowed are qom-type, id, filename"]),
    ],
)
def test_which_objects_are_refused(value: str, said: list[str]) -> None:
    message = refusal("-object", value)
    assert message.startswith("-object ")
    for words in said:
        assert words in message


@pytest.mark.parametrize(
    ("driver", "meant"),
    [
        ("virtio-rgn-device", "virtio-rng-device"),
        ("virtio-rng-pci", "virtio-rng-device"),
        ("virtio-bkl-device", "virtio-blk-device"),
        ("virtio-net-device", None),
        ("virtio-gpu-pci", None),
    ],
)
def test_only_a_driver_that_is_like_it_is_suggested(driver: str, meant: str | None) -> None:
    message = refused_device(driver)
    if meant is None:
        assert "did you mean" not in message
    else:
        assert f"(did you mean {meant!r}?)" in message


def test_ids_are_unique_among_devices_and_among_objects() -> None:
    message = refusal(*SOURCE, "-device", f"{DEVICE},id=a", "-device", f"{DEVICE},id=a")
    assert message.endswith("id=a: another device has that id; allowed is one that is free")
    message = refusal(*SOURCE, *SOURCE)
    assert message.endswith("id=r0: another object has that id; allowed is one that is free")
    assert [device.device_id for device in devices(f"{DEVICE},id=r0")] == ["r0"]


def test_help_and_reference_have_every_kind() -> None:
    (device, _drive, its_object) = TABLE.options
    assert isinstance(device.variants, DeviceVariants)
    assert isinstance(its_object.variants, ObjectVariants)
    modules = [module_of(kind) for kind in KINDS]
    found = {driver: set(keys) for driver, _, keys in device.variants.all()}
    assert found == {module.driver: {key.name for key in module.keys} for module in modules}
    objects = {name: set(keys) for name, _, keys in its_object.variants.all()}
    assert objects == {
        kind.name: {key.name for key in kind.keys} for module in modules for kind in module.objects
    }
