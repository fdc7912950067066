"""The options about devices: -device, -drive and -object, whose keys come from each kind's module.py."""

from __future__ import annotations

from device_procs.device_registry import KINDS, kind_of_driver, module_of
from vmm_main.command_line.option_table import Key, Option, OptionTable, Variants
from vmm_main.command_line.value_types import Boolean, Choice, Identifier, Integer, Path, Text
from vmm_main.vm_config import DeviceConfig

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from device_procs.device_module import DeviceKey, ObjectKind
    from vmm_main.command_line.value_types import ValueType
    from vmm_main.vm_config import VmConfig

_NAME_MAX_CHARACTERS = 127
_TEXT_MAX_CHARACTERS = 4096


class DeviceVariants(Variants):
    """The keys of each kind of device."""

    __slots__ = ()

    def keys_of(self, name: str) -> dict[str, Key]:
        """By what -device calls the kind."""
        kind = kind_of_driver(name)
        if kind is None:
            from vmm_main.command_line.error_text import nearest_part, shorten

            drivers = [driver for driver, _ in KINDS.values()]
            near = nearest_part(_own_part(name.lower()), {_own_part(driver): driver for driver in drivers})
            raise ValueError(f"driver={shorten(name)}: unknown{near}; allowed is {' or '.join(drivers)}")
        return _keys(module_of(kind).keys)

    def explain_unknown(self, key: str) -> str:
        """PCI's keys have no place on the MMIO bus."""
        if key in ("bus", "addr", "multifunction"):
            return ": the device is on the MMIO bus, where slots are given out in the order of the options"
        return ""

    def all(self) -> list[tuple[str, str, dict[str, Key]]]:
        """Every kind of device."""
        modules = [module_of(kind) for kind in KINDS]
        return [(module.driver, module.help, _keys(module.keys)) for module in modules]


def _own_part(driver: str) -> str:
    """What tells drivers apart: "rng" of virtio-rng-device, whatever the bus."""
    return driver.removeprefix("virtio-").partition("-")[0]


class ObjectVariants(Variants):
    """The keys of each kind of object."""

    __slots__ = ()

    def keys_of(self, name: str) -> dict[str, Key]:
        """By the object's kind."""
        known = _object_kinds()
        if name.lower() not in known:
            from vmm_main.command_line.error_text import nearest, shorten

            near = nearest(name.lower(), known)
            raise ValueError(f"qom-type={shorten(name)}: unknown{near}; allowed is {' or '.join(known)}")
        return _keys(known[name.lower()].keys)

    def explain_unknown(self, key: str) -> str:  # noqa: ARG002
        """Nothing that users would expect."""
        return ""

    def all(self) -> list[tuple[str, str, dict[str, Key]]]:
        """Every kind of object."""
        return [(kind.name, kind.help, _keys(kind.keys)) for kind in _object_kinds().values()]


def _object_kinds() -> dict[str, ObjectKind]:
    return {kind.name: kind for name in KINDS for kind in module_of(name).objects}


def _keys(declared: tuple[DeviceKey, ...]) -> dict[str, Key]:
    return {key.name: Key(key.name, _type_of(key), key.help, required=key.required) for key in declared}


def _type_of(key: DeviceKey) -> ValueType:
    if key.kind == "id":
        return Identifier()
    if key.kind == "integer":
        return Integer(key.lowest, key.highest)
    if key.kind == "boolean":
        return Boolean()
    if key.kind == "choice":
        return Choice(*key.words)
    if key.kind == "path":
        return Path()
    return Text("TEXT", key.lowest or 1, min(key.highest, _TEXT_MAX_CHARACTERS))


def _device(config: VmConfig, values: dict[str, Any]) -> None:
    kind = kind_of_driver(values["driver"])
    assert kind is not None
    device_id = values.get("id")
    if device_id is not None and any(device.device_id == device_id for device in config.devices):
        raise ValueError(f"id={device_id}: another device has that id; allowed is one that is free")
    own = {key: value for key, value in values.items() if key not in _COMMON_KEYS}
    config.devices.append(
        DeviceConfig(
            kind,
            device_id,
            own,
            on_death=values.get("on-death", "restart"),
            on_restart_limit=values.get("on-restart-limit", "stop"),
        )
    )


def _object(config: VmConfig, values: dict[str, Any]) -> None:
    object_id = values["id"]
    if object_id in config.objects:
        raise ValueError(f"id={object_id}: another object has that id; allowed is one that is free")
    config.objects[object_id] = {**values, "qom-type": values["qom-type"].lower()}


def _drive(config: VmConfig, values: dict[str, Any]) -> None:
    drive_id = values["id"]
    if drive_id in config.drives:
        raise ValueError(f"id={drive_id}: another drive has that id; allowed is one that is free")
    config.drives[drive_id] = values


_COMMON_KEYS = ("driver", "id", "on-death", "on-restart-limit")

TABLE = OptionTable(
    "Devices",
    Option(
        "-device",
        "Puts a virtio device on the board: a process of its own. Its further keys depend on the driver.",
        _device,
        Key("driver", Text("DRIVER", 1, _NAME_MAX_CHARACTERS), "The kind of device.", required=True),
        Key("id", Identifier(), "Its name; without one it is given one."),
        Key(
            "on-death",
            Choice("restart", "needs-reset", "stop"),
            "What happens when its process dies: it is made again and goes on (default), the driver is told "
            "that the device needs a reset, or the VM is paused.",
        ),
        Key(
            "on-restart-limit",
            Choice("needs-reset", "stop"),
            "The same for a process that has died too often to be made again: its restarts are used up after "
            "20, and one comes back every 60 seconds (default stop).",
        ),
        first_key="driver",
        may_repeat=True,
        variants=DeviceVariants(),
    ),
    Option(
        "-drive",
        "Names an image on the host, which a -device virtio-blk-device shows to the guest as a disk.",
        _drive,
        Key("id", Identifier(), "Its name.", required=True),
        Key(
            "file", Path(), "A raw image or a block device; locked, but mounts aren't noticed.", required=True
        ),
        Key("readonly", Boolean(), "The guest can't write; others may read the image too (default off)."),
        Key("direct", Boolean(), "Leaves the host's page cache out, by O_DIRECT (default off)."),
        Key("if", Choice("none"), "The interface: none is for a -device, the default and the only one."),
        Key("format", Choice("raw"), "The image's format: raw, the default and the only one."),
        may_repeat=True,
    ),
    Option(
        "-object",
        "Makes something that devices refer to. Its further keys depend on its kind.",
        _object,
        Key("qom-type", Text("KIND", 1, _NAME_MAX_CHARACTERS), "The kind of object.", required=True),
        Key("id", Identifier(), "Its name.", required=True),
        first_key="qom-type",
        may_repeat=True,
        variants=ObjectVariants(),
    ),
)
