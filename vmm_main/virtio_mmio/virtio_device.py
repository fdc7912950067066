"""What a transport and a device know of each other: the device's process is far behind this line."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Protocol

    class VirtioDevice(Protocol):
        """A device as a transport sees it. Nothing here waits for the device's process but reset().

        Attributes:
            device_id: Its id on the command line, for messages.
            virtio_id: Its type (virtio 1.2 §5).
            features: What it offers; cached.
            queue_max_sizes: Of each queue, in their order.
            config_space: As the device last said; cached, at most 256 bytes. Whoever changes it, or gives it
                its first value, calls transport.config_changed() too.
            writable_config: The fields of the configuration space that a driver may write: (offset, size).
            kick_fds: An eventfd per queue that says: there are new buffers. The same for the device's life.
            call_fds: An eventfd per queue that says: buffers were used. The same for the device's life.
            transport: Set by the transport; who is told of what happens to the device.
        """

        transport: Transport | None

        @property
        def device_id(self) -> str: ...  # noqa: D102 - the attributes are described above
        @property
        def virtio_id(self) -> int: ...  # noqa: D102
        @property
        def features(self) -> int: ...  # noqa: D102
        @property
        def queue_max_sizes(self) -> Sequence[int]: ...  # noqa: D102
        @property
        def config_space(self) -> bytes: ...  # noqa: D102
        @property
        def writable_config(self) -> Sequence[tuple[int, int]]: ...  # noqa: D102
        @property
        def kick_fds(self) -> Sequence[int]: ...  # noqa: D102
        @property
        def call_fds(self) -> Sequence[int]: ...  # noqa: D102

        def activate(self, features: int, vrings: list[VringSetup]) -> None:
            """The driver is ready (DRIVER_OK) with these features and queues. On a vCPU's thread.

            A device that can't go on by then calls transport.needs_reset(), even if it has before: the reset
            since has taken that back.
            """

        def reset(self) -> bool:
            """Ends what activate() began: the queues are left alone once this returns True.

            Waits, off the GIL, with a deadline. On the thread of a vCPU, or on the main one while all vCPUs
            are parked (a reboot).

            Returns:
                False: the process could neither be reset nor reaped, and the VM is paused for it.
            """

        def write_config(self, offset: int, data: bytes) -> None:
            """The driver has written one of writable_config. On a vCPU's thread; forwards without waiting."""

        def report_fault(self, reason: str) -> None:
            """The driver has done what can't be served; the transport shows DEVICE_NEEDS_RESET.

            On a vCPU's thread, with the transport's lock held: doesn't wait, and doesn't call back.
            """

    class Transport(Protocol):
        """Who stands between a device and its driver. Called on the main thread."""

        def needs_reset(self) -> None:
            """The device can't go on until its driver has reset it."""

        def config_changed(self, config: bytes) -> None:
            """The configuration space is this now."""


class VringSetup:
    """Where a queue is, checked: a split ring of num descriptors, all of it in RAM."""

    __slots__ = ("avail_gpa", "desc_gpa", "index", "num", "used_gpa")

    def __init__(self, index: int, num: int, desc_gpa: int, avail_gpa: int, used_gpa: int) -> None:
        self.index = index
        self.num = num
        self.desc_gpa = desc_gpa
        self.avail_gpa = avail_gpa
        self.used_gpa = used_gpa
