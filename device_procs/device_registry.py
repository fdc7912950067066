"""Every kind of device, a line each. A kind's module is imported when it is asked for."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from device_procs.device_module import DeviceModule

# Kind -> (what -device calls it, the folder in device_procs/).
KINDS = {
    "virtio-blk": ("virtio-blk-device", "virtio_blk"),
    "virtio-rng": ("virtio-rng-device", "virtio_rng"),
}


def module_of(kind: str) -> DeviceModule:
    """The description of a kind.

    Raises:
        KeyError: There is no such kind.
    """
    _, folder = KINDS[kind]
    name = f"device_procs.{folder}.module"
    __import__(name)
    module: DeviceModule = sys.modules[name].MODULE
    return module


def kind_of_driver(driver: str) -> str | None:
    """The kind that -device calls driver (capitals don't matter), or None."""
    for kind, (name, _) in KINDS.items():
        if name == driver.lower():
            return kind
    return None
