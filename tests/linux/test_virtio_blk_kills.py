"""SIGKILL for disks' processes while Linux writes with fdatasync, and a reset: nothing is lost."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

from tests.linux.acknowledged_blocks import (
    AcknowledgedBlocks,
    check_file_system,
    file_in_image,
    program_disk,
)
from tests.linux.conftest import StartDiskGuest
from tests.linux.disk_guest import DiskGuest, GuestDisk, empty_image

IMAGE_BYTES = 96 << 20
WRITERS_OF_EACH = 2
RESET_DEADLINE_S = 120.0


class WritingGuest:
    """A guest with two ext4 file systems, and threads in it that write to both."""

    def __init__(self, start: StartDiskGuest, scratch: Path) -> None:
        self.disks = [
            GuestDisk("buffered", empty_image(scratch / "buffered", IMAGE_BYTES)),
            GuestDisk("direct", empty_image(scratch / "direct", IMAGE_BYTES), ",direct=on", ",num-queues=2"),
        ]
        self._scratch = scratch
        self.files = [(disk, number) for disk in self.disks for number in range(WRITERS_OF_EACH)]
        self.blocks = AcknowledgedBlocks(scratch, len(self.files))
        program = program_disk(scratch)
        self.guest: DiskGuest = start([*self.disks, self.blocks.disk, program])
        self._program = self.guest.nodes[program.name]
        for disk in self.disks:
            self.guest.run(f"mke2fs -q -t ext4 {self.guest.nodes[disk.name]}")
        self.guest.run("mkdir -p " + " ".join(f"/run/{disk.name}" for disk in self.disks))

    def mount(self) -> None:
        for disk in self.disks:
            self.guest.run(f"mount -t ext4 {self.guest.nodes[disk.name]} /run/{disk.name}")

    def start_writing(self) -> None:
        files = " ".join(f"/run/{disk.name}/blocks{number}" for disk, number in self.files)
        log = self.guest.nodes[self.blocks.disk.name]
        self.guest.begin("writing", f"python3 {self._program} {log} {files}")
        self.blocks.wait_for_more(4 * len(self.files))

    def stop_writing(self) -> int:
        """Returns how many blocks were acknowledged, by the guest's own count."""
        self.guest.run("touch /run/stop")
        return int(self.guest.end("writing").removeprefix("acknowledged "))

    def expect_all_in_images(self) -> None:
        for writer, (disk, number) in enumerate(self.files):
            content = file_in_image(disk.image, f"/blocks{number}", self._scratch / "copy")
            assert self.blocks.lost(writer, content) == [], f"of {disk.name}'s file {number}"


def test_killed_while_the_guest_writes(
    start_disk_guest: StartDiskGuest, scratch: Path, repetitions: Callable[[int], int]
) -> None:
    kills = repetitions(200)
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    writing = WritingGuest(start_disk_guest, scratch)
    guest = writing.guest
    writing.mount()
    writing.start_writing()
    for _ in range(kills):
        # Seen some while after it has happened, when the guest is busy with the next.
        writing.blocks.wait_for_more(chance.randrange(1, 8))
        name = chance.choice(writing.disks).name
        guest.kill(name)
        # Requests in flight went over to the successor, which replays them before anything else.
        writing.blocks.wait_for_more(2 * len(writing.files))
        guest.count_hit(name)
    acknowledged = writing.stop_writing()
    assert writing.blocks.count() == acknowledged
    print(
        f"seed {seed}: {kills} kills, {guest.hits} with requests in flight; "
        f"{acknowledged} blocks acknowledged"
    )
    assert guest.hits > 0
    assert guest.errors() == ""
    for disk in writing.disks:
        guest.run(f"umount /run/{disk.name}")
    assert sum(guest.process(disk.name)["restarts"] for disk in writing.disks) == kills
    guest.guest.power_off()
    for disk in writing.disks:
        check_file_system(disk.image)
    writing.expect_all_in_images()


def test_reboot_with_requests_in_flight(start_disk_guest: StartDiskGuest, scratch: Path) -> None:
    """The guest resets the machine at once, while it writes to two file systems and reads from one's disk."""
    writing = WritingGuest(start_disk_guest, scratch)
    guest = writing.guest
    guest.guest.monitor()  # takes events from here on
    writing.mount()
    writing.start_writing()
    # Big ones take the disk longer than it takes the guest to ask for the next.
    reads = "--rw=randread --bs=1M --direct=1 --ioengine=libaio --iodepth=16 --time_based --runtime=900"
    block = guest.nodes["direct"].removeprefix("/dev/")
    guest.begin("reading", f"fio --name=reads {reads} --filename=/dev/{block}")
    in_flight = f"/sys/block/{block}/inflight"
    # The guest looks until most are in flight, says how many, and resets the machine at the next such look.
    # What it says must be out before that (stty waits for it): a reset loses what the terminal still holds.
    look = f"until read reads writes <{in_flight} && [ $reads -gt 8 ]; do :; done"
    say = "echo in flight: $reads, $writes; stty echo"
    guest.guest.console.send(f"{look}; {say}; {look}; echo b >/proc/sysrq-trigger\n")
    counts = guest.guest.console.wait_for(r"\nin flight: (\d+), (\d+)\D", RESET_DEADLINE_S)
    assert guest.guest.wait_for_event("RESET")["data"] == {"guest": True, "reason": "guest-reset"}
    guest.guest.wait_for_boot()
    print(f"{counts[1]} reads and {counts[2]} writes in flight; {writing.blocks.count()} blocks acknowledged")
    guest.run("mkdir -p " + " ".join(f"/run/{disk.name}" for disk in writing.disks))
    writing.mount()  # recovers the journals
    assert guest.errors() == ""
    guest.run(f"umount /run/{writing.disks[0].name} /run/{writing.disks[1].name}")
    assert [guest.process(disk.name)["restarts"] for disk in writing.disks] == [0, 0]
    guest.guest.power_off()
    for disk in writing.disks:
        check_file_system(disk.image)
    writing.expect_all_in_images()
