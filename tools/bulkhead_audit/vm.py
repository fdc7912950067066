"""All processes of one VM together: what one of them may have depends on what the others have."""

from __future__ import annotations

import os
from collections import defaultdict
from functools import cached_property
from socket import SOCK_SEQPACKET
from typing import Any

from .descriptors import EVENTFD
from .process import NAMESPACES, Process
from .process_files import GoneError, UnreadableError
from .program_files import FileIdentity, devices_library, mapped_by
from .unix_sockets import UnixSocket, unix_sockets


class Vm:
    """The processes, each of which can be read.

    Attributes:
        main: The main process.
        processes: All, main first.
        host_landlock: The version of Landlock that this host's kernel has; 0 for none.
        programs: The compiled filters by their profiles, if those that are installed are to be compared.
    """

    def __init__(
        self, processes: list[Process], host_landlock: int, programs: dict[str, bytes] | None = None
    ) -> None:
        self.main = next(process for process in processes if process.role == "main")
        self.processes = processes
        self.host_landlock = host_landlock
        self.programs = programs

    @property
    def place(self) -> dict[str, Any]:
        """Where main was started, by its entitlements.

        Raises:
            UnreadableError: It couldn't see that itself.
        """
        if "place" not in self.main.entitled:
            raise UnreadableError("where main was started: it has no /proc")
        place: dict[str, Any] = self.main.entitled["place"]
        return place

    @cached_property
    def namespaces_around(self) -> dict[str, set[str]]:
        """Of each kind, those that no device may be in: the audit's own, and main's if it can be seen."""
        around = {kind: {os.readlink(f"/proc/self/ns/{kind}")} for kind in NAMESPACES}
        try:
            for kind, link in self.main.namespaces.items():
                around[kind].add(link)
        except UnreadableError:
            return around  # of somebody else's VM; the audit's own are what is left
        return around

    @cached_property
    def namespace_owners(self) -> dict[str, set[Process]]:
        """The VM's processes that are in a namespace, by its link."""
        owners: dict[str, set[Process]] = defaultdict(set)
        for process in self.processes:
            try:
                for link in process.namespaces.values():
                    owners[link].add(process)
            except (UnreadableError, GoneError):
                continue  # told where it is that process's turn
        return owners

    @cached_property
    def eventfd_owners(self) -> dict[int, set[Process]]:
        """The VM's processes that hold an eventfd, by its number."""
        owners: dict[int, set[Process]] = defaultdict(set)
        for process in self.processes:
            try:
                for descriptor in process.descriptors:
                    if descriptor.link == EVENTFD and descriptor.eventfd_id is not None:
                        owners[descriptor.eventfd_id].add(process)
            except (UnreadableError, GoneError):
                continue  # told where it is that process's turn
        return owners

    @cached_property
    def program_files(self) -> set[FileIdentity]:
        """Every file that main or a zygote has mapped, and the library of devices, if there is no zygote."""
        found = set(devices_library(self.main))
        for process in self.processes:
            if process.role in ("main", "zygote"):
                found |= mapped_by(process)
        return found

    @cached_property
    def unix_sockets(self) -> dict[int, UnixSocket]:
        """Those of main's net namespace, in which main makes the sockets of its processes."""
        return unix_sockets(f"/proc/{self.main.pid}/ns/net")

    def is_end_of_mains(self, socket: UnixSocket) -> bool:
        """Whether a socket is for packets, and main holds its other end."""
        held = {one.link for one in self.main.descriptors}
        return socket.kind == SOCK_SEQPACKET and f"socket:[{socket.peer}]" in held

    @cached_property
    def strangers(self) -> dict[int, list[tuple[int, str]]]:
        """Number and name of each process that one of the VM's has made and main doesn't know, by parent."""
        known = {process.pid for process in self.processes}
        found: dict[int, list[tuple[int, str]]] = defaultdict(list)
        for entry in os.listdir("/proc"):
            if entry.isdecimal() and int(entry) not in known:
                try:
                    with open(f"/proc/{entry}/stat", encoding="utf-8", errors="backslashreplace") as stat:
                        name, _, rest = stat.read().rpartition(")")
                except (FileNotFoundError, ProcessLookupError):
                    continue  # it has ended meanwhile
                parent = int(rest.split()[1])
                if parent in known:
                    found[parent].append((int(entry), name.partition("(")[2]))
        return found
