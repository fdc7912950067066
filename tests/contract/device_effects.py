"""The effects of options about device processes, seen by a driver in a guest, by QMP and in /proc."""

from __future__ import annotations

import os
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.contract.bench import Bench, wait_until
from tests.contract.effect import Effect
from tests.guest.guest_report import GuestReport, SerialStream
from tests.guest.running_vm import BareMetalVm
from tests.unit.qmp.raw_client import RawClient

OBJECT = ["-object", "rng-random,id=objrng0,filename=/dev/zero"]
DEVICE = "virtio-rng-device,rng=objrng0"
RNG = [*OBJECT, "-device", DEVICE]
# As in the contract.
MAX_BYTES, PERIOD_MS = 1234, 1000
KNOWN_BYTES = b"as random as bytes in a test can be"
_NO_END = 1 << 60
_MASK = (1 << 64) - 1
_ENTROPY_ID = 4  # virtio 1.2 section 5


def _report(bench: Bench, length: int, arguments: list[str]) -> GuestReport | None:
    """What a guest says that asks slot 0 for so many bytes; None if there is no VM."""
    nonce = int.from_bytes(os.urandom(8), "little")
    append = f"test=entropy nonce={nonce:#x} length={length}"
    ran = bench.run("-kernel", str(bench.images().pvh), "-append", append, "-serial", "stdio", *arguments)
    if ran.returncode != 0:
        return None
    reading_fd, writing_fd = os.pipe()
    os.write(writing_fd, ran.stdout)
    os.close(writing_fd)
    report = GuestReport(SerialStream(reading_fd, -1), nonce).wait_for_seal()
    os.close(reading_fd)
    return report


def entropy_device(bench: Bench, arguments: list[str]) -> tuple[int, int, int] | None:
    """The id of the device in the guest's first slot, how many bytes it gave, and how many zeros."""
    report = _report(bench, 1024, arguments)
    assert report is not None
    if report.number("device-id") != _ENTROPY_ID:
        return None
    return report.number("device-id"), report.number("received"), report.number("zeros")


def gives_the_files_bytes(bench: Bench, arguments: list[str]) -> bool:
    """Whether the guest's bytes are those of the character device {dir}/source."""
    writing_fd, reading_fd = os.openpty()
    tty.setraw(reading_fd)
    (bench.directory / "source").symlink_to(os.ttyname(reading_fd))
    os.write(writing_fd, KNOWN_BYTES)
    try:
        report = _report(bench, len(KNOWN_BYTES), [*arguments, "-device", DEVICE])
    finally:
        os.close(writing_fd)
        os.close(reading_fd)
    if report is None:
        return False
    total = 0
    for byte in KNOWN_BYTES:
        total = total * 31 + byte & _MASK
    return report.number("received") == len(KNOWN_BYTES) and report.number("sum") == total


@contextmanager
def reading_guest(bench: Bench, *arguments: str) -> Iterator[RawClient]:
    """A VM whose guest asks slot 0 for bytes without end, and a QMP client of it."""
    append = f"length={_NO_END} piece=64"
    vm = BareMetalVm(
        bench.program, bench.directory, bench.images().pvh, "entropy", *arguments, append=append, sockets=1
    )
    try:
        client = vm.connect()
        yield client
        client.execute("quit")
        client.close()
        vm.expect_end()
    finally:
        vm.close()


def metrics(client: RawClient) -> dict[str, int]:
    """What the first device has counted."""
    (device, *_) = client.execute("query-device-processes")["return"]
    found: dict[str, int] = client.execute("query-device-metrics", id=device["id"])["return"]["metrics"]
    return found


def is_held_up(bench: Bench, arguments: list[str]) -> bool:
    """Whether the guest has had to wait for the rate, once it has got more than a period allows."""
    device = ",".join([DEVICE, *arguments])
    with reading_guest(bench, *OBJECT, "-device", device) as client:
        wait_until(lambda: metrics(client)["bytes"] > 2 * MAX_BYTES, "the guest gets nothing")
        return metrics(client)["rate_waits"] > 0


def _children(pid: int) -> Iterator[int]:
    for task in Path(f"/proc/{pid}/task").iterdir():
        yield from map(int, (task / "children").read_text().split())


def thread_statuses(pid: int) -> Iterator[dict[str, str]]:
    """/proc/PID/task/TID/status of every thread of a VM's main process and its children."""
    for process in (pid, *_children(pid)):
        for task in Path(f"/proc/{process}/task").iterdir():
            pairs = [line.partition(":") for line in (task / "status").read_text().splitlines()]
            yield {name: value.strip() for name, _, value in pairs}


def filter_modes(bench: Bench, arguments: list[str]) -> dict[str, set[str]]:
    """How seccomp(2) holds a VM's threads: 0 not at all, 2 by filters; apart the spawner, which execs."""
    modes: dict[str, set[str]] = {"spawner": set(), "others": set()}
    with bench.controlled(*RNG, "-smp", "2", *arguments) as (process, _client):
        threads = list(thread_statuses(process.pid))
    for thread in threads:
        modes["spawner" if thread["Name"] == "bulkhead-spawn" else "others"].add(thread["Seccomp"])
    # Main, two vCPUs, spawner, zygote, and a device's two.
    assert len(threads) >= 7
    return modes


WITH_FILTERS = {"spawner": {"0"}, "others": {"2"}}
WITHOUT_FILTERS = {"spawner": {"0"}, "others": {"0"}}

DEVICE_EFFECTS = {
    "rng-device": Effect(RNG, entropy_device, (_ENTROPY_ID, 1024, 1024)),
    "rng-object": Effect(
        ["-object", "rng-random,id=objrng0,filename={dir}/source"], gives_the_files_bytes, True
    ),
    "rng-rate": Effect([f"max-bytes={MAX_BYTES}", f"period={PERIOD_MS}"], is_held_up, True),
    "disable-seccomp-filters": Effect(["-disable-seccomp"], filter_modes, WITHOUT_FILTERS),
}
