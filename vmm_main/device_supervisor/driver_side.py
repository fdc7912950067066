"""A device as transports see it (virtio_mmio.virtio_device.VirtioDevice): what vCPU threads may touch.

vCPU threads put what they want on the supervisor's event loop and go on. Only a reset waits, off the GIL
and with a deadline, because Linux writes 0 to Status and doesn't look again.
"""

from __future__ import annotations

import _thread

from vmm_main.device_supervisor.device_setup import DriverRings, make_call_fds, make_kick_fds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from device_procs.device_module import DeviceModule, DevicePlan
    from vmm_main.device_supervisor.supervisor import DeviceSupervisor
    from vmm_main.virtio_mmio.virtio_device import Transport, VringSetup


class DriverSide:
    """What outlives the device's processes and is cached for its driver."""

    __slots__ = ("_supervisor", "call_fds", "config_space", "device_id", "features", "kick_fds",
                 "queue_max_sizes", "transport", "virtio_id", "writable_config")  # fmt: skip

    def __init__(
        self, supervisor: DeviceSupervisor, device_id: str, module: DeviceModule, plan: DevicePlan
    ) -> None:
        self._supervisor = supervisor
        self.device_id = device_id
        self.virtio_id = module.virtio_id
        self.writable_config = module.writable_config
        self.queue_max_sizes = plan.queue_sizes
        self.kick_fds = make_kick_fds(len(plan.queue_sizes))
        self.call_fds = make_call_fds(len(plan.queue_sizes))
        self.features = 0
        self.config_space = b""
        self.transport: Transport | None = None

    # On vCPU threads.

    def activate(self, features: int, vrings: list[VringSetup]) -> None:
        """DRIVER_OK: the driver has set up its rings. Doesn't wait; doorbells gather in the eventfds."""
        self._supervisor.loop.call_soon(lambda: self.take_rings(DriverRings(features, vrings)))

    def reset(self) -> bool:
        """Takes the driver's rings away and waits, without the GIL, until nothing works on them any more.

        On the main thread, at a reboot, it runs the supervisor's event loop meanwhile.

        Returns:
            False if that can't be had within the deadline; the VM is paused then.
        """
        if self._supervisor.is_on_its_thread():
            return self._supervisor.reset_now(self)
        done = _thread.allocate_lock()
        done.acquire()
        self._supervisor.loop.call_soon(lambda: self.begin_reset(done))
        # begin_reset() has deadlines of its own, for the request and for the kill; this one is for main.
        if done.acquire(timeout=self._supervisor.deadlines.whole_reset_s):
            return True
        reason = f"device {self.device_id} can't be reset: its process doesn't die"
        self._supervisor.loop.call_soon(lambda: self._supervisor.pause_vm(reason))
        return False

    def write_config(self, offset: int, data: bytes) -> None:
        """Forwards a driver's write to config space, which the transport has checked and cached."""
        self._supervisor.loop.call_soon(lambda: self.tell("SET_CONFIG", {"offset": offset, "data": data}))

    def report_fault(self, reason: str) -> None:
        """The transport has refused the driver something, and shows DEVICE_NEEDS_RESET."""
        self._supervisor.loop.call_soon(lambda: self._supervisor.report_needs_reset(self.device_id, reason))

    # On the event loop.

    def take_rings(self, rings: DriverRings) -> None:
        """What activate() asks for."""
        raise NotImplementedError

    def begin_reset(self, done: _thread.LockType) -> None:
        """What reset() asks for; done is released once nothing works on the rings any more."""
        raise NotImplementedError

    def tell(self, name: str, fields: dict[str, object]) -> None:
        """Sends the process a message, if there is one that is ready."""
        raise NotImplementedError

    @property
    def is_reset(self) -> bool:
        """Whether no reset is under way."""
        raise NotImplementedError
