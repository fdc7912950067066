"""What main has opened for one device and keeps for every process of it: back ends, and in-flight log."""

from __future__ import annotations

import posix as os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from device_procs.device_module import DeviceModule, DevicePlan
    from vmm_main.device_supervisor.inflight_memory import InflightMemory
    from vmm_main.device_supervisor.last_io import LastIo
    from vmm_main.device_supervisor.opened_resource import OpenedResource


class HeldDescriptors:
    """One device's.

    Attributes:
        backends: Descriptors, in the order of the plan's resources.
        config: What CONFIGURE tells of the device: its plan's, and what was found out about its resources.
        file_bytes: How large a file its processes may write.
        inflight: The log, of a device that doesn't complete in order.
        named: How the user asked for the back ends.
    """

    __slots__ = ("_direct", "backends", "config", "file_bytes", "inflight", "named")

    def __init__(self, module: DeviceModule, plan: DevicePlan, opened: tuple[OpenedResource, ...]) -> None:
        """Takes over what was opened.

        Raises:
            HostError: The host has no memory or descriptor left for the log.
        """
        self._direct = any(resource.direct for resource in plan.resources)
        self.named = " and ".join(resource.named for resource in plan.resources)
        self.backends = tuple(resource.fd for resource in opened)
        self.config: dict[str, Any] = dict(plan.config)
        for resource in opened:
            self.config.update(resource.facts)
        self.file_bytes = max((resource.file_bytes for resource in opened), default=0)
        self.inflight: InflightMemory | None = None
        if not module.completes_in_order:
            from vmm_main.device_supervisor.inflight_memory import InflightMemory

            self.inflight = InflightMemory(plan.queue_sizes)

    @property
    def log_fds(self) -> tuple[int, ...]:
        """The log's descriptor, if there is one."""
        return () if self.inflight is None else (self.inflight.fd,)

    def make_last_io(self) -> LastIo | None:
        """Of a process whose I/O may outlive it: only what goes past the page cache does.

        Raises:
            HostError: No descriptor is left.
        """
        if not self._direct:
            return None
        from vmm_main.device_supervisor.last_io import LastIo

        return LastIo()

    def driver_begins(self) -> None:
        """A driver has set up its rings: nothing is in flight, whatever its predecessor left."""
        if self.inflight is not None:
            self.inflight.clear()

    def close(self) -> None:
        """Closes all; the processes must be gone."""
        for fd in self.backends:
            os.close(fd)
        if self.inflight is not None:
            self.inflight.close()
