"""What main knows of virtio-blk: -device virtio-blk-device with a -drive."""

from __future__ import annotations

from device_procs.device_module import DeviceKey, DeviceModule, DevicePlan, Resource
from ipc.schema import EMPTY, UINT32_MAX, UINT64_MAX, Boolean, Bytes, Choice, Integer, Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

QUEUE_SIZE_MAX = 256
QUEUES_MAX = 16
ID_BYTES = 20  # virtio 1.2 §5.2.6
SECTOR_BYTES = 512
BLOCK_BYTES_MAX = 65536

_COUNT = Integer(0, UINT64_MAX)
# What each queue's worker counts, in the order of struct blk_counters.
COUNTERS = ("reads", "writes", "flushes", "discards", "write_zeroes", "read_bytes", "written_bytes",
            "discarded_bytes", "zeroed_bytes", "refused", "failed", "out_of_space", "bounced",
            "replayed")  # fmt: skip


def plan(values: dict[str, Any], drives: dict[str, dict[str, Any]]) -> DevicePlan:
    """One disk.

    Args:
        values: Of the keys given with -device.
        drives: Of -drive, by id.

    Raises:
        ValueError: They don't go together; the text names keys, values and ranges.
    """
    drive = drives.get(values["drive"])
    if drive is None:
        known = f"allowed is one of {', '.join(drives)}" if drives else "there is none at all"
        raise ValueError(f"drive={values['drive']}: there is no -drive with this id; {known}")
    serial = values.get("serial", "")
    if not (serial.isascii() and serial.isprintable()):
        raise ValueError(f"serial={serial!a}: allowed are up to {ID_BYTES} printable ASCII characters")
    queues = values.get("num-queues", 1)
    return DevicePlan(
        {
            "read_only": drive.get("readonly", False),
            "direct": drive.get("direct", False),
            "serial": serial.encode(),
            "queues": queues,
        },
        (
            Resource(
                "disk-image",
                drive["file"],
                f"-drive id={values['drive']},file={drive['file']}",
                writable=not drive.get("readonly", False),
                direct=drive.get("direct", False),
            ),
        ),
        (QUEUE_SIZE_MAX,) * queues,
    )


MODULE = DeviceModule(
    kind="virtio-blk",
    driver="virtio-blk-device",
    virtio_id=2,
    help_text="A disk, whose sectors are those of a -drive's file or block device.",
    keys=(
        DeviceKey("drive", "id", "The -drive that it shows.", required=True),
        DeviceKey("serial", "text", "What the guest reads as its serial number.", lowest=1, highest=ID_BYTES),
        DeviceKey(
            "num-queues",
            "integer",
            "How many queues it has, each with a thread of its own (default 1).",
            lowest=1,
            highest=QUEUES_MAX,
        ),
    ),
    objects=(),
    refers_to="-drive",
    plan=plan,
    back_end="device_procs.virtio_blk.device",
    completes_in_order=False,
    config_schema=Record(
        {
            "read_only": Boolean(),
            "direct": Boolean(),
            "serial": Bytes(ID_BYTES),
            "queues": Integer(1, QUEUES_MAX),
            # Of the image, as main has found it when it opened it.
            "capacity_sectors": Integer(1, (1 << 63) // SECTOR_BYTES),
            "block_bytes": Integer(SECTOR_BYTES, BLOCK_BYTES_MAX),
            "physical_block_bytes": Integer(SECTOR_BYTES, BLOCK_BYTES_MAX),
            "memory_alignment": Integer(1, BLOCK_BYTES_MAX),
        }
    ),
    state_schema=EMPTY,
    counters=COUNTERS,
    makes_per_queue=("anon_inode:[io_uring]",),
    metrics_schema=Record(
        {
            "engine": Choice("io_uring", "preadv"),
            **dict.fromkeys(COUNTERS, _COUNT),
            "last_errno": Integer(0, UINT32_MAX),
        }
    ),
)
