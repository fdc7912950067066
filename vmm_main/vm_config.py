"""What one VM shall be: the result of the command line, in plain values, checked and complete.

Plain classes with __slots__: a dataclass costs a third of a millisecond each, at every start.
"""

from __future__ import annotations


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


class VmConfig:
    """One VM as asked for. Sizes in bytes; paths as the user wrote them; None means not asked for."""

    __slots__ = (
        "append",
        "chardevs",
        "cpus",
        "daemonize",
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
        "only_print",
        "pidfile_path",
        "qmp_chardev_ids",
        "rtc_base_is_utc",
        "seccomp_enabled",
        "serial_chardev_id",
        "start_paused",
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
        self.fd_sets: list[FdSetEntry] = []
        self.start_paused = False
        self.no_reboot = False
        self.no_shutdown = False
        self.rtc_base_is_utc = True
        self.daemonize = False
        self.pidfile_path: str | None = None
        self.log_path: str | None = None
        self.log_to_stderr = False
        self.seccomp_enabled = True
        # Accepted for compatibility, without effect: "said once in the log".
        self.no_effect: list[str] = []
        # Advice of the contract that this VM goes against; each is logged as a warning.
        self.warnings: list[str] = []
