"""What each process of a VM is entitled to, as far as only main knows it; for who looks at them from outside.

What no process of its kind may have (a capability, a writable mount, a further thread) is the auditor's to
know. Here is what differs from one process to the next: its user, its threads' filters, and which open
files and memory are meant for it, by what they are in the kernel.
"""

from __future__ import annotations

import fcntl
import os

from device_procs.device_registry import KINDS
from vmm_main.device_supervisor.allowed_calls import rules_of
from vmm_main.device_supervisor.device_state import NEEDS_RESET, PAUSED, READY, RUNNING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from vmm_main.device_supervisor.device_process import DeviceProcess
    from vmm_main.device_supervisor.supervised_device import SupervisedDevice
    from vmm_main.device_supervisor.supervisor import DeviceSupervisor

_FDINFO_BYTES = 4096
_ACCESS = {os.O_RDONLY: "r", os.O_WRONLY: "w", os.O_RDWR: "rw"}


def of_main(
    supervisor: DeviceSupervisor | None, memory_fd: int, vcpu_thread_ids: list[int], *, seccomp: bool
) -> dict[str, Any]:
    """The main process: its own threads, and what it shares with its devices or has for them.

    Args:
        supervisor: Of its devices, if there are any.
        memory_fd: Guest memory.
        vcpu_thread_ids: Of its vCPU threads.
        seccomp: Whether there are filters.
    """
    threads = [_thread("main", [os.getpid()], ["main"], seccomp=seccomp)]
    threads.append(_thread("vcpu", vcpu_thread_ids, ["main", "vcpu"], seccomp=seccomp))
    memory = [_guest_memory(memory_fd, writable=True)]
    descriptors: list[dict[str, Any]] = []
    if supervisor is not None:
        descriptors += [told_as_open(role, fd) for role, fd in supervisor.open_fds]
        for device in supervisor.devices:
            memory += _memory_of(device)
            descriptors += [*_backends(device), *_eventfds(device)]
    return {
        **_process("main", "main", os.getpid(), os.geteuid(), os.getegid(), is_settled=True),
        "threads": threads,
        "descriptors": descriptors,
        "shared-memory": memory,
    }


def told(role: str, fd: int, access: str) -> dict[str, Any]:
    """A descriptor of main's that is for no more than this access."""
    return {"role": role, "access": access, **_identity(fd)}


def told_as_open(role: str, fd: int) -> dict[str, Any]:
    """A descriptor of main's that is for the access that it was opened with."""
    return told(role, fd, _ACCESS[fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE])


def given(role: str, fd: int) -> dict[str, Any]:
    """A descriptor that main was given by whoever runs it: it may be anything."""
    try:
        return {"role": role, "access": "rw", "eventfd-id": _eventfd_id(fd)}
    except (OSError, LookupError):
        return told_as_open(role, fd)


def of_makers(supervisor: DeviceSupervisor) -> Iterator[dict[str, Any]]:
    """The spawner, and the zygotes that there are."""
    uid, gid = os.geteuid(), os.getegid()
    spawner = supervisor.spawner_pid
    if spawner is not None:
        yield _process("spawner", "spawner", spawner, uid, gid, is_settled=True)
    for pid in supervisor.zygote_pids:
        yield {
            **_process("zygote", "zygote", pid, uid, gid, is_settled=True),
            "threads": [_thread("zygote", [pid], ["zygote"], seccomp=supervisor.seccomp)],
        }


def of_device(supervisor: DeviceSupervisor, device: SupervisedDevice) -> dict[str, Any]:
    """A device and its process, if there is one."""
    process = device.process
    told = _process(
        device.device_id,
        "device",
        None if process is None else process.pid,
        device.uid,
        device.gid,
        is_settled=device.state in (READY, RUNNING, PAUSED, NEEDS_RESET),
    )
    told["kind"] = device.module.kind
    told["state"] = device.state
    if process is None or process.pid is None:
        return told
    _, folder = KINDS[device.module.kind]
    told["threads"] = [
        _thread("control", [process.pid], ["zygote", f"{folder}_control"], seccomp=supervisor.seccomp),
        _thread("worker", [], ["zygote", f"{folder}_worker"], seccomp=supervisor.seccomp),
    ]
    told["threads"][1]["most"] = len(device.queue_max_sizes)
    told["descriptors"] = list(_descriptors(device, process))
    told["own-descriptors"] = _own_descriptors(device)
    told["shared-memory"] = _memory_of(device)
    if supervisor.memory_regions is not None:
        fd, regions = supervisor.memory()
        writable = any(region["writable"] for region in regions)
        told["shared-memory"].append(_guest_memory(fd, writable=writable))
    told["limits"] = supervisor.limits_of(device)
    return told


def _process(
    name: str, role: str, pid: int | None, uid: int, gid: int, *, is_settled: bool
) -> dict[str, Any]:
    told: dict[str, Any] = {"name": name, "role": role, "uid": uid, "gid": gid, "settled": is_settled}
    if pid is not None:
        told["pid"] = pid
    return {**told, "threads": [], "descriptors": [], "own-descriptors": [], "shared-memory": []}


def _thread(name: str, ids: list[int], profiles: list[str], *, seccomp: bool) -> dict[str, Any]:
    """Threads of a kind; the last profile is their own, those before it what they have inherited."""
    return {
        "thread": name,
        "ids": ids,
        "most": len(ids),
        "profiles": profiles if seccomp else [],
        "system-calls": rules_of(profiles[-1]) if seccomp else [],
    }


def _descriptors(device: SupervisedDevice, process: DeviceProcess) -> Iterator[dict[str, Any]]:
    """What CONFIGURE and the zygote have given it; guest memory and logs it has mapped and closed again."""
    yield {"role": "control socket", "access": "rw", "inode": process.control_inode}
    yield from _backends(device)
    if process.last_io_inode is not None:
        yield {"role": "end of its I/O", "access": "rw", "inode": process.last_io_inode}
    yield from _eventfds(device)


def _eventfds(device: SupervisedDevice) -> Iterator[dict[str, Any]]:
    for role, fds in (("kick", device.kick_fds), ("call", device.call_fds)):
        for index, fd in enumerate(fds):
            yield {"role": f"{role} of queue {index}", "access": "rw", "eventfd-id": _eventfd_id(fd)}


def _backends(device: SupervisedDevice) -> Iterator[dict[str, Any]]:
    for resource, fd in zip(device.plan.resources, device.held.backends, strict=True):
        access = "rw" if resource.writable else "r"
        yield {"role": f"back end: {resource.named}", "access": access, **_identity(fd)}


def _own_descriptors(device: SupervisedDevice) -> list[dict[str, Any]]:
    """What it makes for itself: eventfds between its threads, and what its kind needs for each worker."""
    queues = len(device.queue_max_sizes)
    kinds = [{"what": what, "most": queues} for what in device.module.makes_per_queue]
    return [{"what": "anon_inode:[eventfd]", "most": queues + 1}, *kinds]


def _guest_memory(fd: int, *, writable: bool) -> dict[str, Any]:
    return _shared("guest memory", fd, writable=writable)


def _shared(role: str, fd: int, *, writable: bool) -> dict[str, Any]:
    return {"role": role, "writable": writable, "bytes": os.fstat(fd).st_size, **_identity(fd)}


def _memory_of(device: SupervisedDevice) -> list[dict[str, Any]]:
    """What a device's process shares with main alone."""
    found = []
    if device.process is not None:
        found.append(_shared(f"black box of {device.device_id}", device.process.black_box.fd, writable=True))
    if device.held.inflight is not None:
        found.append(_shared(f"in-flight log of {device.device_id}", device.held.inflight.fd, writable=True))
    return found


def _identity(fd: int) -> dict[str, int]:
    known = os.fstat(fd)
    return {"device": known.st_dev, "inode": known.st_ino}


def _eventfd_id(fd: int) -> int:
    """All eventfds are one inode; the kernel's number for them is in fdinfo (Linux 5.2)."""
    info = os.open(f"/proc/self/fdinfo/{fd}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        text = os.read(info, _FDINFO_BYTES).decode("ascii")
    finally:
        os.close(info)
    return int(text.partition("eventfd-id:")[2].split(None, 1)[0])
