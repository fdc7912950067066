"""What main knows of virtio-rng: -object rng-random and -device virtio-rng-device."""

from __future__ import annotations

from device_procs.device_module import DeviceKey, DeviceModule, DevicePlan, ObjectKind, Resource
from ipc.schema import EMPTY, UINT64_MAX, Integer, Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

QUEUE_SIZE_MAX = 256
RATE_LOWEST = 64  # bytes per second: the contract's range for max-bytes/period*1000
RATE_HIGHEST = 1_000_000_000
PERIOD_MAX_MS = (1 << 32) - 1
MAX_BYTES_MAX = RATE_HIGHEST * PERIOD_MAX_MS // 1000


def plan(values: dict[str, Any], objects: dict[str, dict[str, Any]]) -> DevicePlan:
    """One entropy device.

    Args:
        values: Of the keys given with -device.
        objects: Of -object, by id.

    Raises:
        ValueError: They don't go together; the text names keys, values and ranges.
    """
    source = objects.get(values["rng"])
    if source is None or source["qom-type"] != "rng-random":
        raise ValueError(f"rng={values['rng']}: there is no -object rng-random with this id")
    max_bytes, period_ms = values.get("max-bytes"), values.get("period")
    if max_bytes is None and period_ms is not None:
        raise ValueError(f"period={period_ms}: max-bytes is missing; a limit needs both, no limit neither")
    if period_ms is None and max_bytes is not None:
        raise ValueError(f"max-bytes={max_bytes}: period is missing; a limit needs both, no limit neither")
    max_bytes, period_ms = max_bytes or 0, period_ms or 0
    # Without rounding: 64 bytes a second is allowed, a hair less isn't.
    if not RATE_LOWEST * period_ms <= max_bytes * 1000 <= RATE_HIGHEST * period_ms:
        whole, rest = divmod(max_bytes * 1000, period_ms)
        # As exact as it takes to tell it from what is allowed: a period has less than ten digits' parts.
        rate = f"{whole}.{rest * 10**10 // period_ms:010}".rstrip("0").rstrip(".")
        raise ValueError(
            f"max-bytes={max_bytes},period={period_ms}: max-bytes/period*1000 is {rate} bytes per second; "
            f"allowed are {RATE_LOWEST} to {RATE_HIGHEST}"
        )
    filename = source["filename"]
    return DevicePlan(
        {"max_bytes": max_bytes, "period_ms": period_ms},
        (
            Resource(
                "character-device", filename, f"-object rng-random,id={values['rng']},filename={filename}"
            ),
        ),
        (QUEUE_SIZE_MAX,),
    )


MODULE = DeviceModule(
    kind="virtio-rng",
    driver="virtio-rng-device",
    virtio_id=4,
    help_text="Gives the guest random bytes from a character device of the host.",
    keys=(
        DeviceKey("rng", "id", "The -object rng-random that the bytes come from.", required=True),
        DeviceKey(
            "max-bytes",
            "integer",
            "At most so many bytes in each period, on average; with period only.",
            lowest=1,
            highest=MAX_BYTES_MAX,
        ),
        DeviceKey(
            "period",
            "integer",
            "The period that max-bytes is about, in milliseconds; max-bytes/period*1000 must be from "
            f"{RATE_LOWEST} to {RATE_HIGHEST}.",
            lowest=1,
            highest=PERIOD_MAX_MS,
        ),
    ),
    objects=(
        ObjectKind(
            "rng-random",
            "A source of random bytes.",
            DeviceKey("filename", "path", "A character device, such as /dev/urandom.", required=True),
        ),
    ),
    plan=plan,
    back_end="device_procs.virtio_rng.device",
    completes_in_order=True,
    config_schema=Record(
        {"max_bytes": Integer(0, MAX_BYTES_MAX), "period_ms": Integer(0, PERIOD_MAX_MS)},
    ),
    state_schema=EMPTY,
    metrics_schema=Record(
        {
            "requests": Integer(0, UINT64_MAX),
            "bytes": Integer(0, UINT64_MAX),
            "rate_waits": Integer(0, UINT64_MAX),
            "source_waits": Integer(0, UINT64_MAX),
        }
    ),
)
