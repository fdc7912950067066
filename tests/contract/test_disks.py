"""Disks: how many, which files, what must be given together, who else may have them, and the example."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.contract.bench import Bench, answers, wait_until
from tests.contract.disk_effects import (
    CONTENT,
    SECTOR_BYTES,
    disk_options,
    guest_report,
    make_image,
    report_of,
    total,
)
from tests.contract.guest_code import SPIN, say
from tests.contract.odd_files import path_of

pytestmark = pytest.mark.timeout(180)

DEVICE = "virtio-blk-device,drive=drive_id"


def disks(bench: Bench, count: int) -> list[str]:
    options = []
    for number in range(count):
        options += ["-drive", f"id=d{number},file={make_image(bench, f'disk{number}')}"]
        options += ["-device", f"virtio-blk-device,drive=d{number}"]
    return options


@pytest.mark.parametrize("count", [1, 6])
def test_disks_within_the_range(bench: Bench, count: int) -> None:
    found = bench.ask("query-block", *disks(bench, count))
    assert [each["device"] for each in found] == [f"d{number}" for number in range(count)]


def test_a_seventh_disk_is_refused(bench: Bench) -> None:
    line = bench.refusal(*bench.guest(SPIN), *disks(bench, 7))
    assert line == "bulkhead: -device: 7 disks; allowed are 0 to 6"


def test_query_block_names_drive_and_device(bench: Bench) -> None:
    (found,) = bench.ask("query-block", *disk_options(bench, ",readonly=on", ",id=blkid"))
    assert (found["device"], found["qdev"]) == ("drive_id", "blkid")
    inserted = found["inserted"]
    assert (inserted["file"], inserted["ro"], inserted["drv"]) == (str(bench.directory / "disk"), True, "raw")


@pytest.mark.parametrize("key", ["bus=pcie.0", "addr=0x3.0x0", "multifunction=on"])
def test_keys_of_pci_are_refused(bench: Bench, key: str) -> None:
    options = disk_options(bench, device=f",{key}")
    line = bench.expect_refusal(*bench.guest(SPIN), *options, option="-device", value=key)
    assert "the device is on the MMIO bus" in line


def test_the_interface_is_none(bench: Bench) -> None:
    """Said or not, and as block devices have it."""
    for drive in ("", ",if=none", ",if=NONE,format=raw"):
        report = guest_report(bench, "count=64", *disk_options(bench, drive))
        assert report.number("sum") == total(CONTENT)


@pytest.mark.parametrize("interface", ["pflash", "pfalsh", "virtio", "ide"])
def test_another_interface_is_refused(bench: Bench, interface: str) -> None:
    options = disk_options(bench, f",if={interface}")
    line = bench.expect_refusal(*bench.guest(SPIN), *options, option="-drive", value=f"if={interface}")
    assert line.endswith("allowed is none")


def test_a_device_needs_its_drive(bench: Bench) -> None:
    line = bench.refusal(*bench.guest(SPIN), "-device", DEVICE)
    assert line.endswith("drive=drive_id: there is no -drive with this id; there is none at all")
    line = bench.refusal(*bench.guest(SPIN), *disks(bench, 2), "-device", DEVICE)
    assert line.endswith("drive=drive_id: there is no -drive with this id; allowed is one of d0, d1")


def test_a_drive_needs_its_device(bench: Bench) -> None:
    drive, _ = disk_options(bench)[:2], None
    line = bench.refusal(*bench.guest(SPIN), *drive)
    assert line == (
        "bulkhead: -drive id=drive_id: no device shows it; it must have one: "
        "-device virtio-blk-device,drive=drive_id"
    )


def test_a_drive_has_one_device(bench: Bench) -> None:
    line = bench.refusal(*bench.guest(SPIN), *disk_options(bench, device=",id=a"), "-device", DEVICE)
    assert "drive=drive_id: -device id=a shows it already; allowed is one device for each drive" in line
    drive = ["-drive", f"id=drive_id,file={make_image(bench)}"]
    line = bench.refusal(*bench.guest(SPIN), *drive, *drive, "-device", DEVICE)
    assert "id=drive_id: another drive has that id; allowed is one that is free" in line


@pytest.mark.parametrize("key", ["throttling.iops-total=200", "cache=none", "readonly=maybe", "format=qcow2"])
def test_other_keys_of_a_drive_are_refused(bench: Bench, key: str) -> None:
    options = disk_options(bench, f",{key}")
    bench.expect_refusal(*bench.guest(SPIN), *options, option="-drive", value=key.partition("=")[0])


@pytest.mark.parametrize("key", ["serial=123456789012345678901", "serial=", "num-queues=0", "num-queues=17"])
def test_values_out_of_range(bench: Bench, key: str) -> None:
    options = disk_options(bench, device=f",{key}")
    bench.expect_refusal(*bench.guest(SPIN), *options, option="-device", value=key)


KINDS = ("missing", "unreadable", "directory", "fifo", "socket", "loop", "dangling", "empty", "device",
         "short", "beneath a file", "in a missing directory", "too long")  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_only_a_file_or_block_device_is_an_image(bench: Bench, kind: str) -> None:
    path = path_of(kind, bench.directory)
    options = ["-drive", f"id=drive_id,file={path}", "-device", DEVICE]
    line = bench.expect_refusal(
        *bench.guest(SPIN), *options, option="-drive", value=f"file={path}", unprivileged=True
    )
    assert "allowed is a raw image or a block device, of at least 512 bytes" in line


def test_a_file_that_can_only_be_read(bench: Bench) -> None:
    path = make_image(bench)
    path.chmod(0o444)
    options = ["-drive", f"id=drive_id,file={path}", "-device", DEVICE]
    line = bench.expect_refusal(
        *bench.guest(SPIN), *options, option="-drive", value=f"file={path}", unprivileged=True
    )
    assert line.endswith("readonly=on asks for reading only")


def test_a_file_that_ends_within_a_sector(bench: Bench) -> None:
    path = make_image(bench)
    path.write_bytes(CONTENT + b"x" * 100)
    options = ["-drive", f"id=drive_id,file={path}", "-device", DEVICE]
    report = guest_report(bench, "", *options)
    assert report.number("sectors") == len(CONTENT) // SECTOR_BYTES
    ran = bench.run("-kernel", str(bench.images().pvh), "-append", "test=disk", *options, "-D")
    assert b"the last 100 bytes are no whole block; the guest doesn't see them" in ran.stderr


def test_the_log_tells_what_a_disk_is(bench: Bench) -> None:
    path = make_image(bench)
    path.write_bytes(b"QFI\xfb" + CONTENT[4:])
    options = ["-drive", f"id=drive_id,file={path},readonly=on", "-device", DEVICE]
    ran = bench.run("-kernel", str(bench.images().pvh), "-append", "test=disk", *options, "-D")
    said = ran.stderr.decode()
    sectors = len(CONTENT) // SECTOR_BYTES
    assert f"file={path}: {sectors} sectors, blocks of 512 bytes, read only, through the page cache" in said
    assert f"file={path}: begins like a qcow2 image; the guest is shown its bytes as they are" in said


def test_one_writer_or_many_readers(bench: Bench) -> None:
    writer, reader = disk_options(bench), disk_options(bench, ",readonly=on")
    with bench.controlled(*writer) as (process, _client):
        for others in (writer, reader):
            line = bench.refusal(*bench.guest(SPIN), *others)
            assert f" by process {process.pid} (" in line
            assert line.endswith("allowed are one writer, or readers only (readonly=on)")
    with bench.controlled(*reader) as (process, _client):
        assert guest_report(bench, "count=64", *reader).number("sum") == total(CONTENT)
        line = bench.refusal(*bench.guest(SPIN), *writer)
        assert f"it is in use by process {process.pid} (" in line
    assert guest_report(bench, "count=64", *writer).number("sum") == total(CONTENT)


def test_a_vm_that_was_killed_leaves_no_lock(bench: Bench) -> None:
    """The kernel keeps a ring, and the image with it, for some milliseconds: the next VM waits that long."""
    options = disk_options(bench)
    for _ in range(5):
        with bench.running(*bench.guest(say(b"!") + SPIN), *options, "-serial", "stdio") as process:
            assert process.stdout is not None
            assert process.stdout.read(1) == b"!"
            process.kill()
            process.wait()


def test_one_image_twice_in_a_vm(bench: Bench) -> None:
    path = make_image(bench)
    options = []
    for name in ("a", "b"):
        options += ["-drive", f"id={name},file={path}", "-device", f"virtio-blk-device,drive={name}"]
    line = bench.refusal(*bench.guest(SPIN), *options)
    assert f"-drive id=b,file={path}: it is in use by another disk of this VM" in line


def test_an_image_that_the_caller_has_opened(bench: Bench) -> None:
    """It is opened anew, so that flags and lock are this disk's own."""
    path = make_image(bench)
    fd = os.open(path, os.O_RDWR)
    os.set_inheritable(fd, True)
    options = ["-drive", "id=drive_id,file=/dev/fdset/3", "-device", DEVICE, "-add-fd", f"fd={fd},set=3"]
    try:
        report = guest_report(bench, "count=64", *options, pass_fds=(fd,))
    finally:
        os.close(fd)
    assert report.number("sum") == total(CONTENT)


def test_the_example_of_a_light_vm(bench: Bench) -> None:
    """As it is in the contract but for its paths: not quoted, in its order; the guest has no other word."""
    rootfs, path = make_image(bench, "rootfs.ext4"), bench.directory / "stratovirt.socket"
    example = [
        *("-kernel", str(bench.images().flat)),
        *("-append", "console=ttyS0", "root=/dev/vda", "rw", "reboot=k", "panic=1"),
        *("-drive", f"file={rootfs},id=rootfs,readonly=false"),
        *("-device", "virtio-blk-device,drive=rootfs"),
        *("-qmp", f"unix:{path},server,nowait"),
        *("-serial", "stdio"),
    ]
    ran = bench.run(*example)
    assert ran.returncode == 0, ran.stderr
    report = report_of(ran.stdout, 0)
    assert report.number("sum") == total(CONTENT[:SECTOR_BYTES])
    assert (report.number("read-back-wrong"), report.number("errors")) == (0, 0)
    inverted = bytes(byte ^ 0xFF for byte in CONTENT[:SECTOR_BYTES])
    assert rootfs.read_bytes() == CONTENT[:-SECTOR_BYTES] + inverted
    assert not path.exists()


def test_the_examples_qmp_answers_while_it_runs(bench: Bench) -> None:
    rootfs, path = make_image(bench, "rootfs.ext4"), bench.directory / "stratovirt.socket"
    words = ["console=ttyS0", "root=/dev/vda", "rw", "reboot=k", "panic=1"]
    rest = ["-append", *words, "-drive", f"file={rootfs},id=rootfs,readonly=false"]
    rest += ["-device", "virtio-blk-device,drive=rootfs", "-qmp", f"unix:{path},server,nowait"]
    with bench.running(*bench.guest(SPIN), *rest, "-serial", "stdio") as process:
        wait_until(lambda: answers(str(path)) or process.poll() is not None, "QMP doesn't answer")
        assert process.poll() is None
    Path(path).unlink()  # killed, it couldn't; "rm -f" of the example
    with bench.running(*bench.guest(SPIN), *rest, "-serial", "stdio") as process:
        wait_until(lambda: answers(str(path)) or process.poll() is not None, "QMP doesn't answer again")
        assert process.poll() is None
