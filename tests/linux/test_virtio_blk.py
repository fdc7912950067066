"""Linux's own virtio-blk driver on disks with every option."""

from __future__ import annotations

import os
from pathlib import Path

from tests.linux.conftest import StartDiskGuest
from tests.linux.disk_guest import DiskGuest, GuestDisk, digest, empty_image

MIB = 1 << 20
IMAGE_BYTES = 4 * MIB
PATTERN_BYTES = MIB
_ACCESS_MODE = 0o3
_O_RDONLY = 0
_O_DIRECT = 0o40000


def _disks(scratch: Path) -> list[GuestDisk]:
    options = {
        "plain": ("", ""),
        "readonly": (",readonly=on", ",serial=READ-ONLY"),
        "direct": (",direct=on", ""),
        "queues": ("", ",num-queues=4,serial=0123456789abcdefghij"),
        "all": (",direct=on,readonly=off", ",num-queues=2,serial=a b"),
    }
    disks = []
    for name, (drive, device) in options.items():
        path = scratch / name
        path.write_bytes(os.urandom(IMAGE_BYTES))
        disks.append(GuestDisk(name, path, drive=drive, device=device))
    return disks


def _descriptor_flags(pid: int, image: Path) -> int:
    """Of the one descriptor by which a process holds an image."""
    (flags,) = [
        int((Path(f"/proc/{pid}/fdinfo") / fd.name).read_text().split()[3], 8)
        for fd in Path(f"/proc/{pid}/fd").iterdir()
        if os.path.samefile(fd, image)
    ]
    return flags


def _sums(guest: DiskGuest) -> dict[str, str]:
    """The sha256 of each disk, as the guest reads it now."""
    lines = guest.run(f"echo 3 >/proc/sys/vm/drop_caches; sha256sum {' '.join(guest.nodes.values())}")
    by_node = {line.split()[1]: line.split()[0] for line in lines.splitlines()}
    return {name: by_node[node] for name, node in guest.nodes.items()}


def test_six_disks_with_every_option(start_disk_guest: StartDiskGuest, scratch: Path) -> None:
    disks = _disks(scratch)
    images = {disk.name: disk.image for disk in disks}
    before = {name: digest(image) for name, image in images.items()}
    guest = start_disk_guest(disks)
    nodes = guest.nodes

    # What the guest sees of them.
    assert guest.run("ls -d /sys/block/vd* | wc -l") == "6"
    facts = "cd /sys/block/{0}; echo $(cat size ro) $(ls mq | wc -l) $(cat serial)"
    seen = {name: guest.run(facts.format(node.removeprefix("/dev/"))) for name, node in nodes.items()}
    size = IMAGE_BYTES // 512
    assert seen == {
        "plain": f"{size} 0 1",
        "readonly": f"{size} 1 1 READ-ONLY",
        "direct": f"{size} 0 1",
        "queues": f"{size} 0 2 0123456789abcdefghij",  # Linux takes no more queues than it has CPUs
        "all": f"{size} 0 2 a b",
    }

    # What it reads, and writes, by direct I/O, through its page cache, in big and odd pieces.
    assert _sums(guest) == before
    guest.run(f"head -c {PATTERN_BYTES} /dev/urandom >/run/pattern")
    pattern = guest.run("sha256sum </run/pattern").split()[0]
    for name, how in {
        "plain": "bs=64k conv=fdatasync",
        "direct": "bs=1M oflag=direct",
        "queues": "bs=12k oflag=sync",
        "all": "bs=4k oflag=direct conv=fsync",
    }.items():
        guest.run(f"dd if=/run/pattern of={nodes[name]} {how} 2>&1")
        assert digest(images[name], PATTERN_BYTES) == pattern, name

    # Read-only, for the guest and for the device's process.
    assert guest.status(f"dd if=/run/pattern of={nodes['readonly']} bs=4k count=1") == 1
    assert guest.status(f"blkdiscard {nodes['readonly']}") != 0
    for disk in disks:
        flags = _descriptor_flags(guest.process(disk.name)["pid"], disk.image)
        assert ((flags & _ACCESS_MODE) == _O_RDONLY) == (disk.name == "readonly"), disk.name
        assert bool(flags & _O_DIRECT) == ("direct=on" in disk.drive), disk.name
    assert digest(images["readonly"]) == before["readonly"]

    # Everything once more, from the host's side.
    assert _sums(guest) == {name: digest(image) for name, image in images.items()}
    assert guest.errors() == ""
    for name in images:
        metrics = guest.metrics(name)
        assert metrics["read_bytes"] >= 2 * IMAGE_BYTES
        assert (metrics["failed"], metrics["refused"]) == (0, 0)
        assert metrics["written_bytes"] >= (0 if name == "readonly" else PATTERN_BYTES)
    guest.guest.power_off()


def _allocated_bytes(path: Path) -> int:
    return path.stat().st_blocks * 512


def test_discard_gives_blocks_back(start_disk_guest: StartDiskGuest, scratch: Path) -> None:
    """By blkdiscard, by writing zeroes, and by a file system whose files are gone."""
    disks = [
        GuestDisk("plain", empty_image(scratch / "plain", 32 * MIB)),
        GuestDisk("direct", empty_image(scratch / "direct", 32 * MIB), drive=",direct=on"),
    ]
    guest = start_disk_guest(disks)
    for disk in disks:
        node = guest.nodes[disk.name]
        guest.run(f"dd if=/dev/urandom of={node} bs=1M count=16 conv=fsync 2>&1")
        assert _allocated_bytes(disk.image) >= 16 * MIB
        head = digest(disk.image, 4 * MIB)
        guest.run(f"blkdiscard --offset {4 * MIB} --length {4 * MIB} {node}")
        guest.run(f"blkdiscard --zeroout --offset {8 * MIB} --length {2 * MIB} {node}")
        # ext4 keeps blocks that are zeroed; one may be its own, for the list of pieces.
        assert 12 * MIB <= _allocated_bytes(disk.image) <= 12 * MIB + 4096
        content = disk.image.read_bytes()
        assert content[4 * MIB : 10 * MIB] == bytes(6 * MIB)
        assert content[10 * MIB : 16 * MIB].count(0) < MIB
        assert digest(disk.image, 4 * MIB) == head
        metrics = guest.metrics(disk.name)
        assert metrics["discarded_bytes"] == 4 * MIB
        assert metrics["zeroed_bytes"] == 2 * MIB

        guest.run(f"mke2fs -q -t ext4 {node} && mount {node} /mnt")
        guest.run("dd if=/dev/urandom of=/mnt/file bs=1M count=12 conv=fsync 2>&1")
        full = _allocated_bytes(disk.image)
        assert full >= 12 * MIB
        guest.run("rm /mnt/file && sync && fstrim /mnt && umount /mnt")
        assert _allocated_bytes(disk.image) <= full - 12 * MIB
    assert guest.errors() == ""
    guest.guest.power_off()
