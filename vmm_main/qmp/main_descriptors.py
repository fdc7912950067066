"""What the main process has open, as its parts tell it: for an audit, which looks at the process itself.

Each part says what it has, and nobody looks into /proc for it: what a part doesn't know of isn't told.
"""

from __future__ import annotations

from vmm_main import log
from vmm_main.device_supervisor.entitlements import given, told, told_as_open

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from vmm_main.qmp.machine_interface import MachineInterface
    from vmm_main.qmp.server import QmpServer

_STDERR = 2
_EVENTFD = "anon_inode:[eventfd]"
# Of a UART: that its output has room again, and its input too.
_UART_EVENTFDS = 2


def told_descriptors(server: QmpServer) -> Iterator[dict[str, Any]]:
    """What has an identity, but for what is a device's or for devices."""
    machine = server.machine
    config = machine.config
    for role, fd in machine.boot_files:
        yield told(role, fd, "r")
    if log.log_fd() != _STDERR:
        yield told("log", log.log_fd(), "w")
    for name, chardev in machine.chardevs.items():
        for fd in chardev.open_fds:
            yield told_as_open(f"chardev {name}", fd)
    for fd in server.monitors.open_fds:
        yield told_as_open("QMP", fd)
    for entry in config.fd_sets:
        yield given(f"-add-fd set={entry.set_id}", entry.fd)
    for name, fd in server.descriptors.named:
        yield given(f"getfd {name}", fd)
    for session in server.sessions:
        for fd in session.descriptors:
            yield given("sent over QMP", fd)


def made_descriptors(machine: MachineInterface) -> list[dict[str, Any]]:
    """What has no identity, as /proc names it, and how many there may be."""
    config, supervisor = machine.config, machine.supervisor
    loops = 1 if supervisor is None else 2
    eventfds = loops  # which wakes each
    if config.serial_chardev_id is not None:
        eventfds += _UART_EVENTFDS
    if supervisor is not None:
        eventfds += len(supervisor.devices) + 1  # of each slot, an interrupt; and that a CPU has parked
    makes = {"/dev/kvm": 1, "anon_inode:kvm-vm": 1}
    makes |= {f"anon_inode:kvm-vcpu:{cpu}": 1 for cpu in range(config.cpus)}
    makes |= {"anon_inode:[signalfd]": 1, "anon_inode:[eventpoll]": loops, _EVENTFD: eventfds}
    return [{"what": what, "most": most} for what, most in makes.items()]
