"""The effects of options about disks, seen by a driver in a guest and in /proc."""

from __future__ import annotations

import os
from pathlib import Path

from tests.contract.bench import Bench
from tests.contract.device_effects import thread_statuses
from tests.contract.effect import Effect
from tests.guest.guest_report import GuestReport, SerialStream

SECTOR_BYTES = 512
CONTENT = bytes((7 * number + number // 256) % 251 for number in range(64 * SECTOR_BYTES))
_MASK = (1 << 64) - 1
_BLOCK_ID = 2  # virtio 1.2 section 5
_RO = 1 << 5
_O_DIRECT = 0o40000
# As in the contract.
SERIAL = "serial_num"


def total(data: bytes) -> int:
    """As the guest sums."""
    found = 0
    for byte in data:
        found = found * 31 + byte & _MASK
    return found


def make_image(bench: Bench, name: str = "disk") -> Path:
    """An image of known content in the observation's directory."""
    path = bench.directory / name
    path.write_bytes(CONTENT)
    return path


def report_of(output: bytes, nonce: int) -> GuestReport:
    """What a guest has said, to its seal."""
    reading_fd, writing_fd = os.pipe()
    os.write(writing_fd, output)
    os.close(writing_fd)
    report = GuestReport(SerialStream(reading_fd, -1), nonce).wait_for_seal()
    os.close(reading_fd)
    return report


def guest_report(bench: Bench, append: str, *arguments: str, pass_fds: tuple[int, ...] = ()) -> GuestReport:
    """What a guest says that looks at its first disk."""
    nonce = int.from_bytes(os.urandom(8), "little")
    given = f"test=disk nonce={nonce:#x} {append}".rstrip()
    guest = ("-kernel", str(bench.images().pvh), "-append", given, "-serial", "stdio")
    ran = bench.run(*guest, *arguments, pass_fds=pass_fds)
    assert ran.returncode == 0, ran.stderr
    return report_of(ran.stdout, nonce)


def disk_options(bench: Bench, drive: str = "", device: str = "") -> list[str]:
    """A disk of a new image, with further keys."""
    return [
        *("-drive", f"id=drive_id,file={make_image(bench)}{drive}"),
        *("-device", f"virtio-blk-device,drive=drive_id{device}"),
    ]


def reads_the_disk(bench: Bench, arguments: list[str]) -> tuple[int, int, int] | None:
    """The device in the first slot, its sectors and their sum."""
    make_image(bench)
    report = guest_report(bench, "count=64", *arguments)
    if report.number("device-id") != _BLOCK_ID:
        return None
    return report.number("device-id"), report.number("sectors"), report.number("sum")


def write_is_refused(bench: Bench, arguments: list[str]) -> tuple[bool, int, bool]:
    """Whether read-only is offered, how many of the guest's requests failed, whether the image changed."""
    drive = "".join(f",{argument}" for argument in arguments)
    report = guest_report(bench, "write=1", *disk_options(bench, drive))
    changed = (bench.directory / "disk").read_bytes() != CONTENT
    return bool(report.number("offered") & _RO), report.number("errors"), changed


def is_direct(bench: Bench, arguments: list[str]) -> bool:
    """Whether what the VM has open of the image is O_DIRECT, in main and in the disk's process."""
    drive = "".join(f",{argument}" for argument in arguments)
    with bench.controlled(*disk_options(bench, drive)) as (process, _client):
        pids = {int(status["Tgid"]) for status in thread_statuses(process.pid)}
        found = [flags for pid in pids for flags in _flags_of(pid, bench.directory / "disk")]
    assert len(found) == 2
    (direct,) = {bool(flags & _O_DIRECT) for flags in found}
    return direct


def _flags_of(pid: int, image: Path) -> list[int]:
    return [
        int(Path(f"/proc/{pid}/fdinfo/{fd.name}").read_text().split()[3], 8)
        for fd in Path(f"/proc/{pid}/fd").iterdir()
        if os.readlink(fd) == str(image)
    ]


def serial_number(bench: Bench, arguments: list[str]) -> str:
    """What the guest reads as the disk's serial number."""
    device = "".join(f",{argument}" for argument in arguments)
    report = guest_report(bench, "", *disk_options(bench, device=device))
    return report.text("serial").rstrip("\0")


DISK_EFFECTS = {
    "disk": Effect(
        ["-drive", "id=drive_id,file={dir}/disk", "-device", "virtio-blk-device,drive=drive_id,id=blkid"],
        reads_the_disk,
        (_BLOCK_ID, 64, total(CONTENT)),
    ),
    "disk-readonly": Effect(["readonly=on"], write_is_refused, (True, 1, False)),
    "disk-direct": Effect(["direct=on"], is_direct, True),
    "disk-serial": Effect([f"serial={SERIAL}"], serial_number, SERIAL),
}
