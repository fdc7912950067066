"""Commands for an audit: what each process is entitled to, and what it said of itself at its birth."""

from __future__ import annotations

from vmm_main.qmp.qmp_error import QmpError
from vmm_main.qmp.schema import BOOL, INT, STR, ArrayOf, Command, Enum, Member, Struct, Table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from vmm_main.qmp.session import Call

PROCESS_ROLE = Enum(
    "VmProcessRole",
    "What a process of the VM does.",
    {
        "main": "Owns KVM and the guest's memory.",
        "spawner": "Execs zygotes.",
        "zygote": "Makes device processes.",
        "device": "Is a device.",
    },
)
ACCESS = Enum(
    "DescriptorAccess",
    "What an open file may be used for.",
    {"r": "Reading.", "w": "Writing.", "rw": "Both."},
)
THREADS = Struct(
    "ThreadEntitlement",
    "Threads of one kind.",
    Member("thread", STR, "The kind: main, vcpu, zygote, control or worker."),
    Member("ids", ArrayOf(INT), "Thread ids, where main knows them."),
    Member("most", INT, "How many there may be."),
    Member("profiles", ArrayOf(STR), "Their filters, the last of which is their own; none without filters."),
    Member("system-calls", ArrayOf(STR), "What their own filter allows; empty without filters."),
)
DESCRIPTOR = Struct(
    "DescriptorEntitlement",
    "An open file of a process, told by what it is in the kernel.",
    Member("role", STR, "What it is for."),
    Member("access", ACCESS, "What it may be used for."),
    Member("inode", INT, "Its inode; of a socket, of the process's own end.", optional=True),
    Member("device", INT, "The device that the inode is on; not of a socket.", optional=True),
    Member("eventfd-id", INT, "The kernel's number of an eventfd, as /proc has it.", optional=True),
)
OWN_DESCRIPTORS = Struct(
    "OwnDescriptorEntitlement",
    "Open files that a process makes for itself.",
    Member("what", STR, "What they are, as links in /proc name them."),
    Member("most", INT, "How many there may be."),
)
SHARED_MEMORY = Struct(
    "SharedMemoryEntitlement",
    "Memory that a process shares with others.",
    Member("role", STR, "What it is."),
    Member("writable", BOOL, "Whether the process may write to it."),
    Member("inode", INT, "Its file's inode."),
    Member("device", INT, "The device that the inode is on."),
    Member("bytes", INT, "How large it is."),
)
FOLDER = Struct(
    "FolderIdentity",
    "A folder, told by what it is in the kernel.",
    Member("inode", INT, "Its inode."),
    Member("device", INT, "The device that the inode is on."),
)
PLACE = Struct(
    "ProcessPlace",
    "Where main was started, as it has read before the guest's first instruction.",
    Member("namespaces", ArrayOf(STR), "Its namespaces, as links in /proc name them."),
    Member("root directory", FOLDER, "Its root directory."),
    Member("working directory", FOLDER, "Its working directory."),
)
LIMITS = Struct(
    "ProcessLimits",
    "Resource limits; a host's lower ones stand.",
    Member("nofile", INT, "Open files."),
    Member("fsize", INT, "Bytes of a file that it writes."),
    Member("data", INT, "Bytes of private memory."),
)
PROCESS_ENTITLEMENT = Struct(
    "ProcessEntitlement",
    "What a process is entitled to, as far as that isn't the same for all of its role.",
    Member("name", STR, "A device's id; otherwise the role."),
    Member("role", PROCESS_ROLE, "What it does."),
    Member("kind", STR, "The kind of device.", optional=True),
    Member("state", STR, "What the device is doing: see DeviceProcessState.", optional=True),
    Member("pid", INT, "The process, if there is one.", optional=True),
    Member("settled", BOOL, "Whether all that it takes from itself is taken: false during its start."),
    Member("uid", INT, "Its user, on the host."),
    Member("gid", INT, "Its group, on the host."),
    Member("program-uid", INT, "Of main: who owns its program, on the host.", optional=True),
    Member("threads", ArrayOf(THREADS), "Its threads."),
    Member(
        "descriptors",
        ArrayOf(DESCRIPTOR),
        "What it was given, or, of main, was told to open or has opened for clients and devices.",
    ),
    Member(
        "own-descriptors",
        ArrayOf(OWN_DESCRIPTORS),
        "What a device or main makes for itself beside that, which is told by its number alone.",
    ),
    Member("shared-memory", ArrayOf(SHARED_MEMORY), "What it shares with others."),
    Member("limits", LIMITS, "Resource limits of a device.", optional=True),
    Member(
        "place",
        PLACE,
        "Of main, and so of the spawner and of zygotes; missing if main has no /proc.",
        optional=True,
    ),
)
BIRTH_CERTIFICATE = Struct(
    "BirthCertificate",
    "What a device's process read of itself in /proc/self when it was jailed, before it was given anything.",
    Member("id", STR, "The device's id."),
    Member("pid", INT, "The process."),
    Member("text", STR, "A name and what is there, in turn, each ended by a NUL."),
)

FILTER_PROGRAM = Struct(
    "SystemCallFilter",
    "A profile as it is compiled into this Bulkhead.",
    Member("profile", STR, "Its name."),
    Member("program", STR, "The instructions (struct sock_filter), in hexadecimal."),
)


def _program_uid() -> int:
    from os import stat

    from vmm_main.device_supervisor.spawner import module_path

    return stat(f"{module_path()[0]}/vmm_main").st_uid


def _query_process_entitlements(call: Call) -> list[dict[str, Any]]:
    from vmm_main.device_supervisor import entitlements
    from vmm_main.qmp.main_descriptors import made_descriptors, told_descriptors
    from vmm_main.self_confinement import remembered_place

    machine = call.machine
    supervisor = machine.supervisor
    seccomp = machine.config.seccomp_enabled
    threads = machine.vcpu_thread_ids()
    main = entitlements.of_main(supervisor, machine.guest_memory_fd, threads, seccomp=seccomp)
    place = remembered_place()
    if place is not None:
        main["place"] = place
    main["program-uid"] = _program_uid()
    main["descriptors"] += told_descriptors(call.server)
    main["own-descriptors"] = made_descriptors(machine)
    found = [main]
    if supervisor is not None:
        found += entitlements.of_makers(supervisor)
        found += [entitlements.of_device(supervisor, device) for device in supervisor.devices]
    return found


def _query_birth_certificate(call: Call) -> dict[str, Any]:
    supervisor, device_id = call.machine.supervisor, call.arguments["id"]
    device = supervisor.find(device_id) if supervisor is not None else None
    if device is None:
        raise QmpError(f"Device '{device_id}' not found", "DeviceNotFound")
    process = device.process
    if process is None or process.pid is None or process.certificate is None:
        raise QmpError(
            f"Device '{device_id}' has no process that has certified itself: its state is {device.state}"
        )
    text = process.certificate.decode("utf-8", "backslashreplace")
    return {"id": device_id, "pid": process.pid, "text": text}


def _query_system_call_filter(call: Call) -> dict[str, Any]:
    from vmm_main.device_supervisor.allowed_calls import program_of

    profile = call.arguments["profile"]
    program = program_of(profile)
    if program is None:
        raise QmpError(f"Profile '{profile}' not found: query-process-entitlements has their names")
    return {"profile": profile, "program": program.hex()}


TABLE = Table(
    "What processes may reach",
    "What `bulkhead-audit` compares with what it finds.",
    commands=(
        Command(
            "query-process-entitlements",
            "Lists the VM's processes with what each is entitled to.",
            _query_process_entitlements,
            returns=ArrayOf(PROCESS_ENTITLEMENT),
            example=[
                {
                    "name": "rng0",
                    "role": "device",
                    "kind": "virtio-rng",
                    "state": "running",
                    "pid": 4711,
                    "settled": True,
                    "uid": 200000,
                    "gid": 200000,
                    "threads": [
                        {
                            "thread": "worker",
                            "ids": [],
                            "most": 1,
                            "profiles": ["zygote", "virtio_rng_worker"],
                            "system-calls": ["read"],
                        }
                    ],
                    "descriptors": [{"role": "kick of queue 0", "access": "rw", "eventfd-id": 7}],
                    "own-descriptors": [{"what": "anon_inode:[eventfd]", "most": 2}],
                    "shared-memory": [
                        {
                            "role": "guest memory",
                            "writable": True,
                            "inode": 9,
                            "device": 1,
                            "bytes": 268435456,
                        }
                    ],
                    "limits": {"nofile": 256, "fsize": 0, "data": 268435456},
                }
            ],
        ),
        Command(
            "query-birth-certificate",
            "Tells what a device's present process has certified of itself.",
            _query_birth_certificate,
            Member("id", STR, "The device's id."),
            returns=BIRTH_CERTIFICATE,
            asked={"id": "rng0"},
            example={"id": "rng0", "pid": 4711, "text": "landlock\x006\x00"},
        ),
        Command(
            "query-system-call-filter",
            "Tells a profile's compiled program, to be compared with what a thread has installed.",
            _query_system_call_filter,
            Member("profile", STR, "As in a process's entitlements."),
            returns=FILTER_PROGRAM,
            asked={"profile": "vcpu"},
            example={"profile": "vcpu", "program": "2000000004000000"},
        ),
    ),
)
