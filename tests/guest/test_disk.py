"""The disk from end to end: a driver in a guest, and an image on the host."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.guest.conftest import StartBareMetal
from tests.guest.running_vm import BareMetalVm
from tests.unit.qmp.raw_client import RawClient

pytestmark = pytest.mark.timeout(300)

SECTOR = 512
SECTORS = 256
_MASK = (1 << 64) - 1


def total(data: bytes) -> int:
    """As the guest sums."""
    found = 0
    for byte in data:
        found = found * 31 + byte & _MASK
    return found


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "rootfs.ext4"
    path.write_bytes(os.urandom(SECTORS * SECTOR))
    return path


def start_disk(
    start: StartBareMetal, image: Path, append: str, *, drive: str = "", device: str = "", sockets: int = 0
) -> BareMetalVm:
    return start(
        "disk",
        *("-drive", f"id=d0,file={image}{drive}", "-device", f"virtio-blk-device,drive=d0,id=blk0{device}"),
        append=append,
        sockets=sockets,
    )


@pytest.mark.parametrize("drive", ["", ",direct=on", ",if=none,format=raw,readonly=off"])
def test_a_guest_reads_and_writes_the_image(start: StartBareMetal, image: Path, drive: str) -> None:
    content = image.read_bytes()
    vm = start_disk(start, image, "sector=7 count=16 write=1", drive=drive, device=",serial=S3R1AL")
    report = vm.expect_power_off()
    assert report.number("device-id") == 2
    assert report.number("sectors") == SECTORS
    assert report.text("serial").rstrip("\0") == "S3R1AL"
    assert report.number("sum") == total(content[7 * SECTOR : 23 * SECTOR])
    assert (report.number("read-back-wrong"), report.number("errors")) == (0, 0)
    inverted = bytes(byte ^ 0xFF for byte in content[:SECTOR])
    assert image.read_bytes() == content[:-SECTOR] + inverted


def test_a_read_only_disk(start: StartBareMetal, image: Path) -> None:
    content = image.read_bytes()
    report = start_disk(start, image, "count=1 write=1", drive=",readonly=on").expect_power_off()
    assert report.number("offered") & 1 << 5
    assert report.number("sum") == total(content[:SECTOR])
    assert report.number("errors") == 1
    assert image.read_bytes() == content


def device_pid(client: RawClient) -> int:
    (device,) = client.execute("query-device-processes")["return"]
    return int(device["pid"] or 0)


def test_qmp_tells_of_disks(start: StartBareMetal, image: Path) -> None:
    vm = start_disk(start, image, "rounds=100000", drive=",direct=on", sockets=1)
    client = vm.connect()
    assert vm.report.wait_for("round") == "0x64"
    (described,) = client.execute("query-block")["return"]
    assert (described["device"], described["qdev"]) == ("d0", "blk0")
    assert described["inserted"]["image"]["virtual-size"] == SECTORS * SECTOR
    assert described["inserted"]["cache"] == {"writeback": True, "direct": True, "no-flush": False}
    (said,) = client.execute("query-blockstats")["return"]
    assert (said["device"], said["qdev"], said["io-status"]) == ("d0", "blk0", "ok")
    stats = said["stats"]
    assert stats["wr_operations"] >= stats["flush_operations"] >= 100
    assert stats["wr_bytes"] == stats["wr_operations"] * SECTOR
    assert stats["rd_operations"] >= 100
    assert (stats["failed_operations"], stats["invalid_operations"]) == (0, 0)
    client.execute("quit")
    client.close()
    vm.expect_end()


def test_killed_while_the_guest_writes(start: StartBareMetal, image: Path) -> None:
    """Each write is flushed and read back; the guest sees no error, and all it was told is in the image."""
    rounds, kills = 1000, 8
    vm = start_disk(start, image, f"rounds={rounds}", sockets=1)
    client = vm.connect()
    for _ in range(kills):
        rounds_done = int(vm.report.wait_for("round"), 16)
        pid = device_pid(client)
        os.kill(pid, signal.SIGKILL)
        assert client.receive()["event"] == "DEVICE_PROCESS_DIED"
        restarted = client.receive()
        assert restarted["event"] == "DEVICE_PROCESS_RESTARTED"
        assert restarted["data"]["pid"] != pid
        (said,) = client.execute("query-blockstats")["return"]
        # A death takes nothing from what was counted.
        assert said["stats"]["wr_operations"] >= rounds_done
    report = vm.report.wait_for_seal()
    assert (report.number("rounds-wrong"), report.number("errors")) == (0, 0)
    client.close()
    vm.expect_end()
    content = image.read_bytes()
    for number in range(rounds - SECTORS + 1, rounds + 1):
        place = number % SECTORS * SECTOR
        assert int.from_bytes(content[place : place + 8], "little") == number
