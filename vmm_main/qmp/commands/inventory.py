"""Commands that tell what the VM is and is made of."""

from __future__ import annotations

import os

from vmm_main.qmp.schema import BOOL, INT, STR, ArrayOf, Command, Member, Struct, Table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from vmm_main.qmp.session import Call

_NO_UUID = "00000000-0000-0000-0000-000000000000"

NAME_INFO = Struct(
    "NameInfo", "The VM's name.", Member("name", STR, "What -name said; left out without it.", optional=True)
)
UUID_INFO = Struct("UuidInfo", "The VM's UUID.", Member("UUID", STR, "What -uuid said, or else zeros."))
KVM_INFO = Struct(
    "KvmInfo",
    "Whether KVM is used.",
    Member("enabled", BOOL, "Always true: there is nothing else."),
    Member("present", BOOL, "Always true."),
)
CPU_INSTANCE_PROPERTIES = Struct(
    "CpuInstanceProperties",
    "Where a CPU is in the guest's topology: one socket of cores with one thread each.",
    Member("socket-id", INT, "The socket, always 0."),
    Member("core-id", INT, "The core."),
    Member("thread-id", INT, "The thread of the core, always 0."),
)
CPU_INFO_FAST = Struct(
    "CpuInfoFast",
    "A vCPU.",
    Member("cpu-index", INT, "Its index, from 0."),
    Member("qom-path", STR, "The name that QEMU's clients know it by."),
    Member("thread-id", INT, "The kernel's id of its thread on the host."),
    Member("props", CPU_INSTANCE_PROPERTIES, "Where it is in the guest's topology."),
    Member("target", STR, "The architecture."),
)
CHARDEV_INFO = Struct(
    "ChardevInfo",
    "A character device's back end.",
    Member("label", STR, "Its id."),
    Member("filename", STR, "What it is connected to."),
    Member("frontend-open", BOOL, "Whether something in the VM uses it."),
)


def _query_name(call: Call) -> dict[str, Any]:
    name = call.machine.config.name
    return {} if name is None else {"name": name}


def _query_uuid(call: Call) -> dict[str, Any]:
    return {"UUID": call.machine.config.uuid or _NO_UUID}


def _query_kvm(_call: Call) -> dict[str, Any]:
    return {"enabled": True, "present": True}


def _query_cpus_fast(call: Call) -> list[dict[str, Any]]:
    return [
        {
            "cpu-index": index,
            "qom-path": f"/machine/unattached/device[{index}]",
            "thread-id": thread_id,
            "props": {"socket-id": 0, "core-id": index, "thread-id": 0},
            # KVM runs guests of the host's architecture only, and QEMU's names for them are the kernel's.
            "target": os.uname().machine,
        }
        for index, thread_id in enumerate(call.machine.vcpu_thread_ids())
    ]


def _query_chardev(call: Call) -> list[dict[str, Any]]:
    found = [
        {"label": label, "filename": backend.describe(), "frontend-open": backend.front_end is not None}
        for label, backend in call.machine.chardevs.items()
    ]
    found += [
        {"label": listener.config.chardev_id, "filename": listener.describe(), "frontend-open": True}
        for listener in call.server.monitors.listeners
    ]
    return found


TABLE = Table(
    "What the VM is made of",
    "Its name, its CPUs, its character devices.",
    commands=(
        Command(
            "query-name", "Tells the VM's name.", _query_name, returns=NAME_INFO, example={"name": "web1"}
        ),
        Command(
            "query-uuid", "Tells the VM's UUID.", _query_uuid, returns=UUID_INFO, example={"UUID": _NO_UUID}
        ),
        Command(
            "query-kvm",
            "Tells whether KVM is used.",
            _query_kvm,
            returns=KVM_INFO,
            example={"enabled": True, "present": True},
        ),
        Command(
            "query-cpus-fast",
            "Lists the vCPUs, without stopping them.",
            _query_cpus_fast,
            returns=ArrayOf(CPU_INFO_FAST),
            example=[
                {
                    "cpu-index": 0,
                    "qom-path": "/machine/unattached/device[0]",
                    "thread-id": 4711,
                    "props": {"socket-id": 0, "core-id": 0, "thread-id": 0},
                    "target": "x86_64",
                }
            ],
        ),
        Command(
            "query-chardev",
            "Lists the character devices' back ends, those of QMP included.",
            _query_chardev,
            returns=ArrayOf(CHARDEV_INFO),
            example=[{"label": "serial0", "filename": "pty:/dev/pts/3", "frontend-open": True}],
        ),
    ),
)
