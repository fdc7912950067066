"""Commands and events about the processes that devices are."""

from __future__ import annotations

import os

from vmm_main.qmp.qmp_error import QmpError
from vmm_main.qmp.schema import ANY, INT, STR, ArrayOf, Command, Enum, Event, Member, Struct, Table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from vmm_main.device_supervisor.supervised_device import SupervisedDevice
    from vmm_main.device_supervisor.supervisor import DeviceSupervisor
    from vmm_main.qmp.session import Call

DEVICE_STATE = Enum(
    "DeviceProcessState",
    "What a device is doing.",
    {
        "configured": "Its process is being made.",
        "ready": "It waits for the guest's driver.",
        "running": "It works for the guest's driver.",
        "paused": "It has stopped with the VM.",
        "dying": "Its process was killed or has let go, and isn't reaped yet.",
        "dead": "Its process is gone; another follows soon.",
        "needs-reset": "It can't go on until the guest's driver resets it.",
        "stopped": "Its process is gone and the VM is paused for it; cont tries again.",
    },
)
DEATH_ACTION = Enum(
    "DeviceDeathAction",
    "What follows a death.",
    {
        "restart": "Another process is made, which goes on where the dead one was.",
        "needs-reset": "The guest's driver is told that the device needs a reset.",
        "stop": "The VM is paused.",
    },
)
PROCESS_MEMORY = Struct(
    "DeviceProcessMemory",
    "Resident memory of a process, as the kernel counts it.",
    Member("anonymous-kib", INT, "Its own."),
    Member("file-kib", INT, "Of programs and libraries, mostly shared."),
    Member("shared-kib", INT, "Guest memory that it has touched."),
    Member("page-tables-kib", INT, "What mapping all that takes."),
)
DEVICE_PROCESS_INFO = Struct(
    "DeviceProcessInfo",
    "A device and its process.",
    Member("id", STR, "The device's id."),
    Member("kind", STR, "The kind of device."),
    Member("pid", INT, "The process, if there is one.", optional=True),
    Member("uid", INT, "The user that it runs as, on the host."),
    Member("state", DEVICE_STATE, "What it is doing."),
    Member("since", INT, "Since when, in seconds since 1970."),
    Member("restarts", INT, "How often its process was replaced."),
    Member("last-death", STR, "What the last process that died died of.", optional=True),
    Member("system-calls", ArrayOf(STR), "What its threads' filters allow; empty without filters."),
    Member("memory", PROCESS_MEMORY, "What it takes, if there is a process.", optional=True),
)

QUEUE_COUNTERS = Struct(
    "DeviceQueueCounters",
    "What has gone through a queue.",
    Member("popped", INT, "Requests taken from the driver."),
    Member("completed", INT, "Requests given back."),
    Member("kicks", INT, "Times the driver has called."),
    Member("signals", INT, "Times the driver was called."),
)
DEVICE_METRICS = Struct(
    "DeviceMetrics",
    "What a device has counted since its process became ready.",
    Member("id", STR, "The device's id."),
    Member("metrics", ANY, "By name; what there is depends on the kind of device."),
    Member("queues", ArrayOf(QUEUE_COUNTERS), "Of each queue."),
)

_STATUS_FIELDS = {
    "RssAnon:": "anonymous-kib",
    "RssFile:": "file-kib",
    "RssShmem:": "shared-kib",
    "VmPTE:": "page-tables-kib",
}


def _query_device_processes(call: Call) -> list[dict[str, Any]]:
    supervisor = call.machine.supervisor
    if supervisor is None:
        return []
    return [_describe(device, seccomp=supervisor.seccomp) for device in supervisor.devices]


def _describe(device: SupervisedDevice, *, seccomp: bool) -> dict[str, Any]:
    from vmm_main.device_supervisor.allowed_calls import allowed_calls

    pid = device.process.pid if device.process is not None else None
    said: dict[str, Any] = {
        "id": device.device_id,
        "kind": device.module.kind,
        "uid": device.uid,
        "state": device.state,
        "since": int(device.since_s),
        "restarts": device.restarts,
        "system-calls": allowed_calls(device.module.kind) if seccomp else [],
    }
    if device.last_cause is not None:
        said["last-death"] = device.last_cause
    if pid is not None:
        said["pid"] = pid
        memory = _memory(pid)
        if memory is not None:
            said["memory"] = memory
    return said


def _memory(pid: int) -> dict[str, int] | None:
    """From /proc/PID/status, which anybody may read; None for a process that has just ended."""
    try:
        fd = os.open(f"/proc/{pid}/status", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        text = os.read(fd, 8192).decode("ascii", "replace")
    except ProcessLookupError:
        return None
    finally:
        os.close(fd)
    found = {}
    for line in text.splitlines():
        words = line.split()
        if words and words[0] in _STATUS_FIELDS:
            found[_STATUS_FIELDS[words[0]]] = int(words[1])
    return found if len(found) == len(_STATUS_FIELDS) else None


def _query_device_metrics(call: Call) -> dict[str, Any]:
    supervisor, device = _find(call)
    metrics = supervisor.metrics_of(device)
    if metrics is None:
        raise QmpError(_why_no_answer(device, supervisor.deadlines.metrics_s))
    box = device.process.black_box if device.process is not None else None
    queues = [] if box is None else [box.queue_counters(i) for i in range(len(device.queue_max_sizes))]
    return {"id": device.device_id, "metrics": metrics, "queues": queues}


def _why_no_answer(device: SupervisedDevice, waited_s: float) -> str:
    from vmm_main.device_supervisor.device_state import PAUSED, READY, RUNNING

    if device.process is None or device.state not in (READY, RUNNING, PAUSED):
        return f"Device '{device.device_id}' has no process that could answer: its state is {device.state}"
    return (
        f"Device '{device.device_id}' hasn't answered within {waited_s:g} s: its process "
        f"{device.process.pid} hangs, or is short of CPU"
    )


def _find(call: Call) -> tuple[DeviceSupervisor, SupervisedDevice]:
    supervisor = call.machine.supervisor
    device_id = call.arguments["id"]
    device = supervisor.find(device_id) if supervisor is not None else None
    if supervisor is None or device is None:
        raise QmpError(f"Device '{device_id}' not found", "DeviceNotFound")
    return supervisor, device


def _device_process_restart(call: Call) -> None:
    _find(call)[1].restart()


TABLE = Table(
    "Device processes",
    "Each device is a process of its own. It may die or be replaced while the guest runs on.",
    commands=(
        Command(
            "query-device-processes",
            "Lists the devices and their processes.",
            _query_device_processes,
            returns=ArrayOf(DEVICE_PROCESS_INFO),
            example=[
                {
                    "id": "rng0",
                    "kind": "virtio-rng",
                    "uid": 200000,
                    "state": "running",
                    "since": 1700000000,
                    "restarts": 0,
                    "system-calls": ["read"],
                    "pid": 4711,
                }
            ],
        ),
        Command(
            "query-device-metrics",
            "Tells what a device's present process has counted.",
            _query_device_metrics,
            Member("id", STR, "The device's id."),
            returns=DEVICE_METRICS,
            asked={"id": "rng0"},
            example={
                "id": "rng0",
                "metrics": {"requests": 1, "bytes": 64},
                "queues": [{"popped": 1, "completed": 1, "kicks": 1, "signals": 1}],
            },
            asks_devices=True,
        ),
        Command(
            "device_process_restart",
            "Replaces a device's process: the old one is killed, and a new one goes on where it was. It "
            "doesn't count as a fault. DEVICE_PROCESS_RESTARTED tells when it is done.",
            _device_process_restart,
            Member("id", STR, "The device's id."),
            asked={"id": "rng0"},
        ),
    ),
    events=(
        Event(
            "DEVICE_PROCESS_DIED",
            "A device's process has ended.",
            Member("id", STR, "The device's id."),
            Member("pid", INT, "The process; 0 if it never came to be."),
            Member("cause", STR, "What it died of."),
            Member("action", DEATH_ACTION, "What follows."),
        ),
        Event(
            "DEVICE_NEEDS_RESET",
            "A device can't go on until the guest's driver resets it: its rings are malformed, or its "
            "process died and isn't replaced. Many drivers take no notice.",
            Member("id", STR, "The device's id."),
            Member("reason", STR, "Why."),
        ),
        Event(
            "DEVICE_PROCESS_RESTARTED",
            "A device's process was replaced, and the device goes on.",
            Member("id", STR, "The device's id."),
            Member("pid", INT, "The new process."),
            Member("restarts", INT, "How often that has happened."),
        ),
    ),
)
