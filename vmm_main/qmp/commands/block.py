"""Commands about disks, in QEMU's shapes as far as there is something to say."""

from __future__ import annotations

from vmm_main.qmp.schema import BOOL, INT, STR, ArrayOf, Command, Enum, Member, Struct, Table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from vmm_main.device_supervisor.supervised_device import SupervisedDevice
    from vmm_main.qmp.session import Call

_KIND = "virtio-blk"
_SECTOR_BYTES = 512

IO_STATUS = Enum(
    "BlockDeviceIoStatus",
    "How a disk's requests have gone.",
    {"ok": "None has failed.", "failed": "The host has failed one.", "nospace": "The host had no room."},
)
IMAGE_INFO = Struct(
    "ImageInfo",
    "An image.",
    Member("filename", STR, "Its file, as -drive has it."),
    Member("format", STR, "Always raw."),
    Member("virtual-size", INT, "What the guest sees, in bytes."),
)
CACHE_INFO = Struct(
    "BlockdevCacheInfo",
    "How the host caches.",
    Member(
        "writeback",
        BOOL,
        "Always true: FLUSH is offered; without it, a completed write is durable.",
    ),
    Member("direct", BOOL, "Whether the host's page cache is left out."),
    Member("no-flush", BOOL, "Always false."),
)
INSERTED_INFO = Struct(
    "BlockDeviceInfo",
    "What is in the drive.",
    Member("file", STR, "Its file, as -drive has it."),
    Member("ro", BOOL, "Whether the guest can only read."),
    Member("drv", STR, "Always raw."),
    Member("backing_file_depth", INT, "Always 0."),
    Member("encrypted", BOOL, "Always false."),
    Member("iops", INT, "The limit of requests a second; 0: none."),
    Member("image", IMAGE_INFO, "The image."),
    Member("cache", CACHE_INFO, "How the host caches."),
)
BLOCK_INFO = Struct(
    "BlockInfo",
    "A disk.",
    Member("device", STR, "The -drive's id."),
    Member("qdev", STR, "The -device's id."),
    Member("type", STR, "Always unknown, as QEMU says it."),
    Member("removable", BOOL, "Always false."),
    Member("locked", BOOL, "Always false."),
    Member("inserted", INSERTED_INFO, "What is in it."),
)
DEVICE_STATS = Struct(
    "BlockDeviceStats",
    "What a disk has done for the guest.",
    Member("rd_bytes", INT, "Bytes read."),
    Member("wr_bytes", INT, "Bytes written."),
    Member("unmap_bytes", INT, "Bytes discarded."),
    Member("rd_operations", INT, "Reads."),
    Member("wr_operations", INT, "Writes, those of zeroes included."),
    Member("flush_operations", INT, "Flushes."),
    Member("unmap_operations", INT, "Discards."),
    Member("failed_operations", INT, "Requests that the host has failed."),
    Member("invalid_operations", INT, "Requests that were refused: out of range, unaligned, unknown."),
)
BLOCK_STATS = Struct(
    "BlockStats",
    "A disk's counters.",
    Member("device", STR, "The -drive's id."),
    Member("qdev", STR, "The -device's id."),
    Member("io-status", IO_STATUS, "How its requests have gone since the VM's start."),
    Member("stats", DEVICE_STATS, "What it has done since then, in whichever process."),
)

_STATS_EXAMPLE = {
    "rd_bytes": 4096,
    "wr_bytes": 8192,
    "unmap_bytes": 0,
    "rd_operations": 1,
    "wr_operations": 2,
    "flush_operations": 1,
    "unmap_operations": 0,
    "failed_operations": 0,
    "invalid_operations": 0,
}


def _disks(call: Call) -> Iterator[tuple[str, SupervisedDevice]]:
    """Each disk's drive, and the device that shows it."""
    supervisor = call.machine.supervisor
    if supervisor is None:
        return
    for config in call.machine.config.devices:
        device = supervisor.find(str(config.device_id))
        if config.kind == _KIND and device is not None:
            yield config.values["drive"], device


def _query_block(call: Call) -> list[dict[str, Any]]:
    return [_describe(drive, device) for drive, device in _disks(call)]


def _describe(drive: str, device: SupervisedDevice) -> dict[str, Any]:
    config = device.held.config
    path = device.plan.resources[0].path
    return {
        "device": drive,
        "qdev": device.device_id,
        "type": "unknown",
        "removable": False,
        "locked": False,
        "inserted": {
            "file": path,
            "ro": config["read_only"],
            "drv": "raw",
            "backing_file_depth": 0,
            "encrypted": False,
            "iops": 0,
            "image": {
                "filename": path,
                "format": "raw",
                "virtual-size": config["capacity_sectors"] * _SECTOR_BYTES,
            },
            "cache": {"writeback": True, "direct": config["direct"], "no-flush": False},
        },
    }


def _query_blockstats(call: Call) -> list[dict[str, Any]]:
    found = []
    for drive, device in _disks(call):
        counted = device.counters.total(None if device.process is None else device.process.black_box)
        found.append(
            {
                "device": drive,
                "qdev": device.device_id,
                "io-status": _io_status(counted),
                "stats": _stats(counted),
            }
        )
    return found


def _stats(counted: dict[str, int]) -> dict[str, int]:
    return {
        "rd_bytes": counted["read_bytes"],
        "wr_bytes": counted["written_bytes"] + counted["zeroed_bytes"],
        "unmap_bytes": counted["discarded_bytes"],
        "rd_operations": counted["reads"],
        "wr_operations": counted["writes"] + counted["write_zeroes"],
        "flush_operations": counted["flushes"],
        "unmap_operations": counted["discards"],
        "failed_operations": counted["failed"],
        "invalid_operations": counted["refused"],
    }


def _io_status(counted: dict[str, int]) -> str:
    if counted["failed"] == 0:
        return "ok"
    return "nospace" if counted["out_of_space"] else "failed"


TABLE = Table(
    "Disks",
    "What they are, and what they have done.",
    commands=(
        Command(
            "query-block",
            "Lists the disks.",
            _query_block,
            returns=ArrayOf(BLOCK_INFO),
            example=[
                {
                    "device": "rootfs",
                    "qdev": "virtio-blk0",
                    "type": "unknown",
                    "removable": False,
                    "locked": False,
                    "inserted": {
                        "file": "/home/rootfs.ext4",
                        "ro": False,
                        "drv": "raw",
                        "backing_file_depth": 0,
                        "encrypted": False,
                        "iops": 0,
                        "image": {
                            "filename": "/home/rootfs.ext4",
                            "format": "raw",
                            "virtual-size": 1073741824,
                        },
                        "cache": {"writeback": True, "direct": False, "no-flush": False},
                    },
                }
            ],
        ),
        Command(
            "query-blockstats",
            "Tells what the disks have done.",
            _query_blockstats,
            returns=ArrayOf(BLOCK_STATS),
            example=[{"device": "rootfs", "qdev": "virtio-blk0", "io-status": "ok", "stats": _STATS_EXAMPLE}],
        ),
    ),
)
