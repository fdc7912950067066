"""What one VM shall be: the result of the command line, in plain values, checked and complete.

Plain classes with __slots__: a dataclass costs a third of a millisecond each, at every start.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from device_procs.device_module import DevicePlan


class ChardevConfig:
    """One -chardev, or the back end written directly behind -serial or -monitor.

    backend is "stdio", "pty", "socket" or "file". path is set for file, and for socket unless fd is.
    fd is a listening socket that the caller handed over (socket only). asked_as is how the user asked for it,
    for errors: "-serial file,path=/tmp/log".
    """

    __slots__ = ("asked_as", "backend", "chardev_id", "fd", "nowait", "path", "server")

    def __init__(
        self,
        chardev_id: str,
        backend: str,
        *,
        path: str | None = None,
        server: bool = False,
        nowait: bool = False,
        fd: int | None = None,
        asked_as: str | None = None,
    ) -> None:
        if asked_as is None:
            asked_as = f"-chardev {backend},id={chardev_id}"
            if path is not None:
                asked_as += f",path={path}"
            if fd is not None:
                asked_as += f",fd={fd}"
        self.asked_as = asked_as
        self.chardev_id = chardev_id
        self.backend = backend
        self.path = path
        self.server = server
        self.nowait = nowait
        self.fd = fd


class FdSetEntry:
    """One -add-fd: descriptor fd is part of set set_id, reachable as /dev/fdset/<set_id>."""

    __slots__ = ("fd", "opaque", "set_id")

    def __init__(self, fd: int, set_id: int, opaque: str | None = None) -> None:
        self.fd = fd
        self.set_id = set_id
        self.opaque = opaque


class DeviceConfig:
    """One -device.

    Attributes:
        kind: Of device_procs.device_registry.
        device_id: As given, or None until one is given out.
        values: Of the kind's own keys.
        on_death: "restart", "needs-reset" or "stop".
        on_restart_limit: "needs-reset" or "stop".
        plan: What the kind's module makes of the values, once all options are read.
    """

    __slots__ = ("device_id", "kind", "on_death", "on_restart_limit", "plan", "values")

    def __init__(
        self,
        kind: str,
        device_id: str | None,
        values: dict[str, Any],
        *,
        on_death: str,
        on_restart_limit: str,
    ) -> None:
        self.kind = kind
        self.device_id = device_id
        self.values = values
        self.on_death = on_death
        self.on_restart_limit = on_restart_limit
        self.plan: DevicePlan | None = None


class VmConfig:
    """One VM as asked for. Sizes in bytes; paths as the user wrote them; None means not asked for."""

    __slots__ = (
        "append",
        "chardevs",
        "cpus",
        "daemonize",
        "devices",
        "drives",
        "dump_guest_core",
        "fd_sets",
        "initrd_path",
        "kernel_path",
        "log_path",
        "log_to_stderr",
        "machine_type",
        "mem_share",
        "memory_bytes",
        "name",
        "no_effect",
        "no_reboot",
        "no_shutdown",
        "objects",
        "only_print",
        "pidfile_path",
        "qmp_asked_as",
        "qmp_chardev_ids",
        "rtc_base_is_utc",
        "seccomp_enabled",
        "serial_chardev_id",
        "start_paused",
        "uid_base",
        "uuid",
        "warnings",
    )

    def __init__(self) -> None:
        # "help" or "version": that is all that is asked for.
        self.only_print: str | None = None
        self.name: str | None = None
        self.uuid: str | None = None
        self.machine_type = "microvm"
        self.cpus = 1
        self.memory_bytes = 256 << 20
        self.dump_guest_core = True
        self.mem_share = False
        self.kernel_path: str | None = None
        self.initrd_path: str | None = None
        self.append = ""
        # Every back end, those written directly behind -serial and -qmp included (with ids of their own).
        self.chardevs: list[ChardevConfig] = []
        self.serial_chardev_id: str | None = None
        # One QMP server per -qmp and per -mon with mode=control: the chardev it speaks on.
        self.qmp_chardev_ids: list[str] = []
        # By that chardev's id: how the server was asked for, for errors.
        self.qmp_asked_as: dict[str, str] = {}
        # In the order of the command line, which is that of their slots.
        self.devices: list[DeviceConfig] = []
        # -object by id: the values of its keys.
        self.objects: dict[str, dict[str, Any]] = {}
        # -drive by id: the values of its keys.
        self.drives: dict[str, dict[str, Any]] = {}
        self.fd_sets: list[FdSetEntry] = []
        self.start_paused = False
        self.no_reboot = False
        self.no_shutdown = False
        self.rtc_base_is_utc = True
        self.daemonize = False
        # The first of the uids that device processes run as; None: a block that is leased.
        self.uid_base: int | None = None
        self.pidfile_path: str | None = None
        self.log_path: str | None = None
        self.log_to_stderr = False
        self.seccomp_enabled = True
        # Accepted for compatibility, without effect: "said once in the log".
        self.no_effect: list[str] = []
        # Advice of the contract that this VM goes against; each is logged as a warning.
        self.warnings: list[str] = []
