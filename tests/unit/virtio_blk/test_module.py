"""What -drive and -device virtio-blk-device come to."""

from __future__ import annotations

from typing import Any

import pytest

from device_procs.data_plane._data_plane import ffi, lib
from device_procs.device_registry import kind_of_driver, module_of
from device_procs.virtio_blk.device import config_space
from device_procs.virtio_blk.module import COUNTERS, MODULE, QUEUES_MAX
from vmm_main.command_line.parser import parse
from vmm_main.errors import ConfigurationError

DRIVES: dict[str, dict[str, Any]] = {
    "d0": {"id": "d0", "file": "/images/a"},
    "d1": {"id": "d1", "file": "/images/b", "readonly": True},
}
FACTS = {"capacity_sectors": 8, "block_bytes": 512, "physical_block_bytes": 4096, "memory_alignment": 1}


def test_the_counters_are_the_structs() -> None:
    """Main finds them by their order."""
    fields = ffi.typeof("struct blk_counters").fields
    assert tuple(name for name, _ in fields) == COUNTERS
    assert len(COUNTERS) * QUEUES_MAX <= lib.BLACK_BOX_DEVICE_COUNTERS


def test_it_is_in_the_registry() -> None:
    assert kind_of_driver("Virtio-BLK-Device") == MODULE.kind
    assert module_of(MODULE.kind) is MODULE


def test_a_plain_disk() -> None:
    made = MODULE.plan({"drive": "d0"}, DRIVES)
    assert made.config == {"read_only": False, "direct": False, "serial": b"", "queues": 1}
    assert made.queue_sizes == (256,)
    (resource,) = made.resources
    assert (resource.kind, resource.path) == ("disk-image", "/images/a")
    assert (resource.writable, resource.direct) == (True, False)
    assert resource.named == "-drive id=d0,file=/images/a"
    MODULE.config_schema.check({**made.config, **FACTS}, "config")


def test_a_disk_with_all_keys() -> None:
    made = MODULE.plan({"drive": "d1", "serial": "S1", "num-queues": 3}, DRIVES)
    assert made.config == {"read_only": True, "direct": False, "serial": b"S1", "queues": 3}
    assert made.queue_sizes == (256,) * 3
    assert not made.resources[0].writable


@pytest.mark.parametrize("serial", ["ü", "a\tb", "\x7f"])
def test_a_serial_number_is_printable_ascii(serial: str) -> None:
    with pytest.raises(ValueError, match="allowed are up to 20 printable ASCII characters"):
        MODULE.plan({"drive": "d0", "serial": serial}, DRIVES)


def test_blocks_and_topology() -> None:
    """virtio 1.2, 5.2.4: the exponent and the smallest I/O are in logical blocks, discards in sectors."""
    config: dict[str, Any] = {"read_only": False, "queues": 1, "capacity_sectors": 1 << 40}
    space = config_space({**config, "block_bytes": 4096, "physical_block_bytes": 16384})
    assert int.from_bytes(space[0:8], "little") == 1 << 40
    assert int.from_bytes(space[20:24], "little") == 4096
    assert space[24:26] == bytes([2, 0])
    assert int.from_bytes(space[26:28], "little") == 4
    assert int.from_bytes(space[44:48], "little") == 32


def parsed(*words: str) -> Any:
    return parse(["-kernel", "vmlinux", *words])


def test_drives_and_devices_in_any_order() -> None:
    drive, device = ("-drive", "id=a,file=/x,,y"), ("-device", "virtio-blk-device,drive=a")
    for words in ((*drive, *device), (*device, *drive)):
        (made,) = parsed(*words).devices
        assert made.device_id == "virtio-blk0"
        assert made.plan.resources[0].path == "/x,y"


def test_a_drive_as_json() -> None:
    drive = '{"id": "a", "file": "/x", "readonly": true, "direct": false}'
    (made,) = parsed("-drive", drive, "-device", '{"driver": "virtio-blk-device", "drive": "a"}').devices
    assert made.plan.config["read_only"] is True


def test_disks_are_no_other_devices() -> None:
    words = [word for name in "abcd" for word in ("-drive", f"id={name},file=/{name}")]
    words += [word for name in "abcd" for word in ("-device", f"virtio-blk-device,drive={name}")]
    assert parsed(*words).warnings == []


@pytest.mark.parametrize("missing", ["id=a", "file=/x"])
def test_a_drive_has_an_id_and_a_file(missing: str) -> None:
    key = "file" if missing.startswith("id") else "id"
    with pytest.raises(ConfigurationError, match=f"{key}= is missing"):
        parsed("-drive", missing)
