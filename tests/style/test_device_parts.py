"""Every device has all its parts, and one that is missing is noticed."""

from __future__ import annotations

from pathlib import Path

import pytest

from device_procs.device_registry import KINDS, kind_of_driver, module_of
from tests.style.device_parts import missing_parts, registered_kinds
from tests.style.source_tree import CHECKOUT, plant, project_files

REGISTRY = "device_procs/device_registry.py"
# A tree with one device, complete.
SOUND = {
    REGISTRY: 'KINDS = {\n    "virtio-mill": ("virtio-mill-device", "virtio_mill"),\n}\n',
    "device_procs/device_module.py": "",
    "device_procs/virtio_mill/__init__.py": "",
    "device_procs/virtio_mill/module.py": "",
    "device_procs/virtio_mill/device.py": "",
    "device_procs/virtio_mill/mill.c": "",
    "device_procs/virtio_mill/mill_cdef.h": "",
    "seccomp_profiles/main.json": "{}",
    "seccomp_profiles/virtio_mill_control.json": "{}",
    "seccomp_profiles/virtio_mill_worker.json": "{}",
    "tests/device/virtio_mill/__init__.py": "",
    "tests/device/virtio_mill/test_jailed_mill.py": "",
    "tests/device/virtio_mill/well_formed_requests.py": "",
    "tests/device/virtio_mill/standalone_device.c": "",
    "tests/fuzz/devices/virtio_mill/target.c": "",
}
OPTIONAL = {"device_procs/device_module.py", "device_procs/virtio_mill/mill.c", "seccomp_profiles/main.json"}


def complaints(root: Path, files: dict[str, str]) -> list[str]:
    return list(missing_parts(root, plant(root, files)))


def test_no_device_lacks_a_part() -> None:
    assert registered_kinds(CHECKOUT) == KINDS
    assert list(missing_parts(CHECKOUT, project_files())) == []


@pytest.mark.parametrize("kind", KINDS)
def test_description_and_registry_agree(kind: str) -> None:
    driver, folder = KINDS[kind]
    module = module_of(kind)
    assert (module.kind, module.driver) == (kind, driver)
    assert module.back_end == f"device_procs.{folder}.device"
    assert kind_of_driver(driver) == kind


def test_a_sound_tree_lacks_nothing(tmp_path: Path) -> None:
    assert complaints(tmp_path, SOUND) == []


def test_a_device_need_not_have_c(tmp_path: Path) -> None:
    of_c = ("mill.c", "_cdef", "standalone")
    without = {path: text for path, text in SOUND.items() if not any(part in path for part in of_c)}
    assert complaints(tmp_path, without) == []


@pytest.mark.parametrize("part", sorted(set(SOUND) - OPTIONAL - {REGISTRY}))
def test_each_missing_part_is_noticed(tmp_path: Path, part: str) -> None:
    without = {path: text for path, text in SOUND.items() if path != part}
    (complaint,) = complaints(tmp_path, without)
    assert complaint.startswith("virtio-mill: ")
    assert "missing" in complaint or "_cdef.h" in complaint


def test_a_missing_line_in_the_registry_is_noticed(tmp_path: Path) -> None:
    found = complaints(tmp_path, {**SOUND, REGISTRY: "KINDS = {}\n"})
    assert [complaint.partition(":")[0] for complaint in found] == [
        "device_procs/virtio_mill/module.py",
        "seccomp_profiles/virtio_mill_control.json",
        "seccomp_profiles/virtio_mill_worker.json",
        "tests/fuzz/devices/virtio_mill/target.c",
    ]


def test_a_folder_of_another_name_is_noticed(tmp_path: Path) -> None:
    other = {path.replace("virtio_mill", "mill"): text for path, text in SOUND.items()}
    other[REGISTRY] = SOUND[REGISTRY].replace('"virtio_mill"', '"mill"')
    assert complaints(tmp_path, other) == ["virtio-mill: its folder should be virtio_mill, not mill"]


def test_a_registry_that_is_no_table_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no KINDS"):
        complaints(tmp_path, {**SOUND, REGISTRY: "TABLE = {}\n"})
