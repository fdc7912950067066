"""What main knows of a kind of device: its options, resources, queues and schemas; never its back end.

Each kind has a folder with a module.py that makes one DeviceModule, and a line in device_registry.py.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ipc.schema import Schema


class DeviceKey:
    """A key of -device or -object, in words that main's command line turns into its own types.

    Attributes:
        name: Of the key.
        kind: "id", "integer", "boolean", "choice", "text" or "path".
        help: What it does.
        required: Whether it must be given.
        lowest: Of an integer; of a text, how many characters.
        highest: The same.
        words: Of a choice.
    """

    __slots__ = ("help", "highest", "kind", "lowest", "name", "required", "words")

    def __init__(
        self,
        name: str,
        kind: str,
        help_text: str,
        *,
        required: bool = False,
        lowest: int = 0,
        highest: int = (1 << 63) - 1,
        words: tuple[str, ...] = (),
    ) -> None:
        self.name = name
        self.kind = kind
        self.help = help_text
        self.required = required
        self.lowest = lowest
        self.highest = highest
        self.words = words


class ObjectKind:
    """A kind of -object that devices of this module refer to, e.g. rng-random."""

    __slots__ = ("help", "keys", "name")

    def __init__(self, name: str, help_text: str, *keys: DeviceKey) -> None:
        self.name = name
        self.help = help_text
        self.keys = keys


class Resource:
    """Something that main opens for a device and passes as a descriptor.

    Attributes:
        kind: Which of main's openers opens it: "character-device", "disk-image".
        path: What it opens, as the user wrote it.
        named: How the user asked for it, for errors: "-object rng-random,id=r0,filename=/x".
        writable: Whether the device writes to it.
        direct: Whether the host's page cache is left out (O_DIRECT).
    """

    __slots__ = ("direct", "kind", "named", "path", "writable")

    def __init__(
        self, kind: str, path: str, named: str, *, writable: bool = False, direct: bool = False
    ) -> None:
        self.kind = kind
        self.path = path
        self.named = named
        self.writable = writable
        self.direct = direct


class DevicePlan:
    """One device as asked for: what CONFIGURE will tell it, and what main must open for it, in that order.

    What main finds out about a resource when it opens it is added to config.
    """

    __slots__ = ("config", "queue_sizes", "resources")

    def __init__(
        self, config: dict[str, Any], resources: tuple[Resource, ...], queue_sizes: tuple[int, ...]
    ) -> None:
        self.config = config
        self.resources = resources
        self.queue_sizes = queue_sizes


class DeviceModule:
    """One kind of device.

    Attributes:
        kind: Its name in logs, QMP and profiles: "virtio-rng".
        driver: What -device calls it: "virtio-rng-device".
        virtio_id: Its device type (virtio 1.2 §5).
        help: One sentence.
        keys: Of -device, beyond those that every device has (id, on-death, on-restart-limit).
        objects: Kinds of -object that it refers to.
        refers_to: The option whose things it refers to: "-object" or "-drive".
        plan: Makes a DevicePlan of the values given for keys and of those things by id (each a dict of its
            values; an object's with "qom-type" and "id"); raises ValueError with what is wrong.
        back_end: The module that the zygote imports; it has make_device().
        completes_in_order: Whether a request is always completed before the next is begun, so that a
            successor resumes from used.idx. Otherwise there is an in-flight log.
        config_schema: Of DevicePlan.config.
        state_schema: Of its device-state record.
        writable_config: The fields of its config space that a driver may write: (offset, size) in bytes.
        metrics_schema: Of what it counts.
        counters: Names of what each queue counts where main can read it (Device.count_in()), in that order.
        makes_per_queue: Descriptors that its process makes for itself, at most one of each for a queue, as
            /proc names them: "anon_inode:[io_uring]". An audit calls any other a difference.
    """

    __slots__ = ("back_end", "completes_in_order", "config_schema", "counters", "driver", "help", "keys",
                 "kind", "makes_per_queue", "metrics_schema", "objects", "plan", "refers_to", "state_schema",
                 "virtio_id", "writable_config")  # fmt: skip

    def __init__(
        self,
        *,
        kind: str,
        driver: str,
        virtio_id: int,
        help_text: str,
        keys: tuple[DeviceKey, ...],
        objects: tuple[ObjectKind, ...],
        plan: Callable[[dict[str, Any], dict[str, dict[str, Any]]], DevicePlan],
        back_end: str,
        completes_in_order: bool,
        config_schema: Schema,
        state_schema: Schema,
        metrics_schema: Schema,
        writable_config: tuple[tuple[int, int], ...] = (),
        refers_to: str = "-object",
        counters: tuple[str, ...] = (),
        makes_per_queue: tuple[str, ...] = (),
    ) -> None:
        self.kind = kind
        self.driver = driver
        self.virtio_id = virtio_id
        self.help = help_text
        self.keys = keys
        self.objects = objects
        self.plan = plan
        self.refers_to = refers_to
        self.counters = counters
        self.makes_per_queue = makes_per_queue
        self.back_end = back_end
        self.completes_in_order = completes_in_order
        self.config_schema = config_schema
        self.state_schema = state_schema
        self.metrics_schema = metrics_schema
        self.writable_config = writable_config
