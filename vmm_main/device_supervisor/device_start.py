"""Makes supervisor and device processes of a VM, so that they warm up while main makes the machine."""

from __future__ import annotations

import _socket
import posix as os

from device_procs.device_registry import module_of
from vmm_main.device_supervisor.opened_resource import OpenedResource
from vmm_main.device_supervisor.openers import open_resource
from vmm_main.device_supervisor.spawner import Spawner
from vmm_main.device_supervisor.supervisor import DeviceSupervisor
from vmm_main.device_supervisor.uid_lease import UidLease, may_give_uids
from vmm_main.event_loop import EventLoop
from vmm_main.log import Logger

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from vmm_main.device_supervisor.deadlines import Deadlines
    from vmm_main.fd_sets import FdSets
    from vmm_main.vm_config import VmConfig

_log = Logger("ipc")


def request_first_zygote(config: VmConfig) -> tuple[Spawner, int]:
    """Starts the spawner and asks it for a zygote: before main opens anything that a child shouldn't have.

    Returns:
        The spawner, and main's end of the zygote's socket.

    Raises:
        HostError: The spawner can't be started.
    """
    spawner = Spawner(own_uids=may_give_uids(config.uid_base), seccomp=config.seccomp_enabled)
    if spawner.first_zygote is not None:
        return spawner, spawner.first_zygote
    ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    spawner.request_zygote(theirs.fileno())
    theirs.close()
    return spawner, ours.detach()


def start_devices(
    config: VmConfig, loop: EventLoop, fd_sets: FdSets, spawner: Spawner, first_zygote: int
) -> DeviceSupervisor:
    """Opens what the devices need and has their processes made; their READY is waited for at power-on.

    Args:
        config: With at least one device, all of them planned.
        loop: Main's; the supervisor's is nested in it.
        fd_sets: Where a path may lead.
        spawner: Started at main's entry.
        first_zygote: The socket of the zygote that it was asked for then.

    Raises:
        ConfigurationError: A device's resource can't be opened.
        HostError: The host lacks something.
    """
    deadlines = _deadlines()
    inner = EventLoop()
    loop.nest(inner)
    supervisor = DeviceSupervisor(
        inner,
        spawner,
        first_zygote,
        UidLease(config.uid_base, len(config.devices)),
        seccomp=config.seccomp_enabled,
        trace=_trace(),
        deadlines=deadlines,
    )
    try:
        for device in config.devices:
            assert device.plan is not None
            assert device.device_id is not None
            backends: list[OpenedResource] = []
            try:
                for resource in device.plan.resources:
                    backends.append(open_resource(resource, fd_sets))
            except BaseException:
                for opened in backends:
                    os.close(opened.fd)
                raise
            supervisor.add(
                device.device_id,
                module_of(device.kind),
                device.plan,
                tuple(backends),
                on_death=device.on_death,
                on_restart_limit=device.on_restart_limit,
            )
    except BaseException:
        supervisor.close()
        raise
    return supervisor


def _trace() -> Callable[[str], None] | None:
    """BULKHEAD_TRACE=ipc: every message of the control sockets goes to the log."""
    if b"ipc" in os.environ.get(b"BULKHEAD_TRACE", b"").split(b","):
        return _log_lines
    return None


def _deadlines() -> Deadlines | None:
    """BULKHEAD_DEADLINES, for whoever tests what happens at one of them."""
    told = os.environ.get(b"BULKHEAD_DEADLINES")
    if told is None:
        return None
    from vmm_main.device_supervisor.told_deadlines import told_deadlines

    return told_deadlines(told)


def _log_lines(text: str) -> None:
    for line in text.splitlines():
        _log.info(line)
