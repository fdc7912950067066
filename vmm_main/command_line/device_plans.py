"""What becomes of -device and -object once all options are read: ids, plans, limits and advice."""

from __future__ import annotations

from device_procs.device_registry import module_of
from vmm_main.errors import ConfigurationError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vmm_main.vm_config import VmConfig

# The contract, for x86_64: this many devices on the MMIO bus, of them disks, and advice about the others.
_MAX_MMIO_DEVICES = 11
_MAX_DISKS = 6
_ADVISED_OTHERS = 2
_DISK_VIRTIO_ID = 2  # virtio 1.2 §5
_DISK_AND_NIC_VIRTIO_IDS = (1, _DISK_VIRTIO_ID)


def plan_devices(config: VmConfig) -> None:
    """Gives every device an id and a plan.

    Raises:
        ConfigurationError: There are too many, or one's keys don't go together.
    """
    count = len(config.devices)
    if count > _MAX_MMIO_DEVICES:
        raise ConfigurationError(
            f"-device: {count} devices; allowed are 0 to {_MAX_MMIO_DEVICES} on the MMIO bus"
        )
    others = disks = 0
    taken = {device.device_id for device in config.devices}
    for device in config.devices:
        module = module_of(device.kind)
        disks += module.virtio_id == _DISK_VIRTIO_ID
        others += module.virtio_id not in _DISK_AND_NIC_VIRTIO_IDS
        number = 0
        while device.device_id is None:
            if f"{device.kind}{number}" not in taken:
                device.device_id = f"{device.kind}{number}"
                taken.add(device.device_id)
            number += 1
        try:
            things = config.drives if module.refers_to == "-drive" else config.objects
            device.plan = module.plan(device.values, things)
        except ValueError as error:
            raise ConfigurationError(f"-device {module.driver},id={device.device_id}: {error}") from error
    if disks > _MAX_DISKS:
        raise ConfigurationError(f"-device: {disks} disks; allowed are 0 to {_MAX_DISKS}")
    _check_drives(config)
    if others > _ADVISED_OTHERS:
        config.warnings.append(
            f"{others} devices are neither disk nor NIC; more than {_ADVISED_OTHERS} are advised against"
        )


def _check_drives(config: VmConfig) -> None:
    """A drive and its device are two steps, and one doesn't go without the other."""
    users: dict[str, str] = {}
    for device in config.devices:
        module = module_of(device.kind)
        if module.refers_to != "-drive":
            continue
        drive = device.values["drive"]
        if drive in users:
            raise ConfigurationError(
                f"-device {module.driver},id={device.device_id}: drive={drive}: -device id={users[drive]} "
                "shows it already; allowed is one device for each drive"
            )
        users[drive] = str(device.device_id)
    for drive in config.drives:
        if drive not in users:
            raise ConfigurationError(
                f"-drive id={drive}: no device shows it; it must have one: "
                f"-device virtio-blk-device,drive={drive}"
            )
