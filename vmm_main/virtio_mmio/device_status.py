"""The device status field (virtio 1.2 §2.1) and the one way through it."""

from __future__ import annotations

ACKNOWLEDGE = 1
DRIVER = 2
DRIVER_OK = 4
FEATURES_OK = 8
DEVICE_NEEDS_RESET = 64
FAILED = 128

_BITS = 0xFF

# What the driver may write, by what the status is: the steps of virtio 1.2 §3.1.1, none left out and none
# taken back (§2.1.1: "The driver MUST NOT clear a device status bit"). The one shortcut, 0 to ACKNOWLEDGE and
# DRIVER at once, is what small drivers take; nothing happens to a device in between.
STEPS = {
    0: (ACKNOWLEDGE, ACKNOWLEDGE | DRIVER),
    ACKNOWLEDGE: (ACKNOWLEDGE | DRIVER,),
    ACKNOWLEDGE | DRIVER: (ACKNOWLEDGE | DRIVER | FEATURES_OK,),
    ACKNOWLEDGE | DRIVER | FEATURES_OK: (ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK,),
}


def next_status(status: int, written: int) -> int:
    """The status after the driver has written a value to it; the same status if that isn't a step.

    0 is a reset, from everywhere. FAILED is taken from everywhere too, and leaves the other bits as they are.
    After FAILED ("the driver MUST later reset the device before attempting to re-initialize", §2.1.1) and
    after DEVICE_NEEDS_RESET, which only the device sets, there is nothing else.
    """
    if written == 0:
        return 0
    if written & ~_BITS:
        return status
    if written & FAILED:
        return status | FAILED
    return written if written in STEPS.get(status, ()) else status
