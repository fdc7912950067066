"""fio writes, reads back and compares: each kind of disk, both back ends, with kills and without."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.linux.conftest import StartDiskGuest
from tests.linux.disk_guest import GuestDisk, empty_image

IMAGE_BYTES = 32 << 20
WRITTEN_BYTES = 1 << 20
KINDS = {
    "buffered-1": ("", ""),
    "direct-1": (",direct=on", ""),
    "buffered-4": ("", ",num-queues=4"),
    "direct-4": (",direct=on", ",num-queues=4"),
}
FIO = (
    "fio --thread --minimal --ioengine=libaio --iodepth=16 --direct=1 --rw=randwrite --bs=4k "
    f"--size={WRITTEN_BYTES} --fdatasync=8 "
    "--verify=crc32c --do_verify=1 --verify_fatal=1 --verify_state_save=0"
)


@pytest.mark.parametrize("io_uring", [True, False], ids=["io_uring", "preadv"])
def test_fio_finds_what_it_wrote(
    start_disk_guest: StartDiskGuest, scratch: Path, repetitions: Callable[[int], int], io_uring: bool
) -> None:
    disks = [
        GuestDisk(name, empty_image(scratch / name, IMAGE_BYTES), drive=drive, device=device)
        for name, (drive, device) in KINDS.items()
    ]
    # Linux makes a queue for each of the four CPUs that there could be. It starts no more than this host has:
    # with four on the box's two, a guest's timers stand still now and then.
    busy_cpus = min(4, len(os.sched_getaffinity(0)))
    guest = start_disk_guest(disks, cpus=4, io_uring=io_uring, append=f"maxcpus={busy_cpus}")
    print(guest.run("fio --version"))
    for disk in disks:
        assert guest.metrics(disk.name)["engine"] == ("io_uring" if io_uring else "preadv")
        queues = guest.run(f"ls /sys/block/{guest.nodes[disk.name].removeprefix('/dev/')}/mq").split()
        assert len(queues) == (4 if "4" in disk.name else 1)
    jobs = " ".join(f"--name={disk.name} --filename={guest.nodes[disk.name]}" for disk in disks)

    said = guest.run(f"{FIO} {jobs}")
    assert len(said.splitlines()) == len(disks), said
    for disk in disks:
        metrics = guest.metrics(disk.name)
        assert metrics["written_bytes"] == WRITTEN_BYTES
        assert metrics["read_bytes"] >= WRITTEN_BYTES
        assert metrics["replayed"] == 0
        with_requests = sum(count > 0 for count in guest.completed(disk.name))
        assert with_requests == (busy_cpus if "4" in disk.name else 1)

    kills = repetitions(100)
    chance = random.Random(seed := random.randrange(1 << 32))
    guest.begin("fio", f"until [ -e /run/stop ]; do {FIO} {jobs} || exit 1; done")
    # Further ones if need be: most requests don't take the disk long.
    while guest.kills < kills or (guest.hits == 0 and guest.kills < 10 * kills):
        name = chance.choice(disks).name
        guest.wait_for_requests(name, chance.randrange(1, 32))
        guest.kill(name)
        guest.wait_for_requests(name, 1)  # what was in flight is replayed before anything else
        guest.count_hit(name)
    guest.run("touch /run/stop")
    said = guest.end("fio")
    runs = len(said.splitlines()) // len(disks)
    print(f"seed {seed}: {guest.kills} kills in {runs} runs of fio, {guest.hits} with requests in flight")
    assert guest.hits > 0
    assert guest.errors() == ""
    guest.guest.power_off()
