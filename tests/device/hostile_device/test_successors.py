"""What must come after a hostile process is asked of every kind, and one that does it wrong is noticed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from device_procs.device_registry import KINDS
from tests.device.hostile_device.conftest import StartVm
from tests.device.hostile_device.hostile_vm import BAD
from tests.device.hostile_device.successors import EXPECT_WORK, expect_disk
from tools.fake_driver.disk_driver import DiskDriver

pytestmark = pytest.mark.timeout(120)


def test_each_kind_has_work() -> None:
    assert sorted(EXPECT_WORK) == sorted(KINDS), (
        "EXPECT_WORK in tests/device/hostile_device/successors.py must have a line for each registered kind"
    )


def test_a_disk_that_works_otherwise(
    start_vm: StartVm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vm = start_vm("virtio-blk")
    vm.drivers[BAD].driver_ok()
    expect_disk(vm)
    image = vm.bad_image
    vm.bad_image = Path(shutil.copy(image, tmp_path / "another image"))
    with pytest.raises(AssertionError, match="isn't in the image"):
        expect_disk(vm)
    vm.bad_image = image
    monkeypatch.setattr(DiskDriver, "write", lambda *_arguments: None)
    with pytest.raises(AssertionError, match="is read otherwise"):
        expect_disk(vm)
