"""main's side of spawner and zygote, without main: starts device processes for a DeviceRig."""

from __future__ import annotations

import os
import select
import socket
from pathlib import Path
from typing import Any

from device_procs.device_module import DeviceModule
from ipc.channel import Channel
from ipc.messages import Message
from ipc.zygote_messages import FROM_ZYGOTE
from vmm_main.device_supervisor.spawner import Spawner
from vmm_main.device_supervisor.uid_lease import UidLease, may_give_uids

HANGS_AFTER_S = 20.0
LIMITS = {"nofile": 64, "fsize": 0, "data": 64 << 20}


def wait_readable(fd: int, what: str) -> None:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    assert poll.poll(HANGS_AFTER_S * 1000), f"{what}: nothing comes"


def wait_for_end(pid: int) -> int:
    """Waits for a child; its status as os.waitstatus_to_exitcode() has it."""
    pidfd = os.pidfd_open(pid)
    try:
        wait_readable(pidfd, f"the end of process {pid}")
    finally:
        os.close(pidfd)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


class ZygoteRig:
    """A spawner and its current zygote."""

    def __init__(
        self,
        lock_file: Path,
        *,
        seccomp: bool,
        extra_kinds: str | None = None,
        xoptions: tuple[str, ...] = (),
    ) -> None:
        """Starts both.

        Args:
            lock_file: Where uids are leased.
            seccomp: Whether there are filters.
            extra_kinds: A module that adds kinds of devices.
            xoptions: More -X options of the zygote's Python.
        """
        self.seccomp = seccomp
        self.own_uids = may_give_uids()
        self.lease = UidLease(None, 1, str(lock_file)) if self.own_uids else None
        options: list[str] = []
        if extra_kinds is not None:
            options = ["-X", f"bulkhead_extra_kinds={extra_kinds}"]
        options += [word for option in xoptions for word in ("-X", option)]
        self.spawner = Spawner(own_uids=self.own_uids, seccomp=seccomp, zygote_options=tuple(options))
        self.devices = 0
        self.limits = LIMITS
        self.zygote_pid = -1
        self.zygote: Channel
        self.new_zygote()

    def new_zygote(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, theirs:
            self.spawner.request_zygote(theirs.fileno())
            self.zygote = Channel(ours.detach(), "zygote", FROM_ZYGOTE)
        wait_readable(self.spawner.fileno(), "the spawner's answer")
        pid = self.spawner.receive_pid()
        assert pid is not None
        self.zygote_pid = pid

    def ids(self) -> tuple[int, int]:
        """Uid and gid of the next device."""
        if self.lease is None:
            return os.geteuid(), os.getegid()
        number = self.devices % 64
        return self.lease.uid_for(number), self.lease.gid_for(number)

    def ask(self, descriptors: tuple[int, ...], kind: str, **changes: Any) -> Message:
        """One MAKE_DEVICE and the zygote's answer."""
        number = self.request(descriptors, kind, **changes)
        answer = self.next_from_zygote()
        if answer.name == "MADE_DEVICE":
            assert answer.request_id == number
        return answer

    def request(self, descriptors: tuple[int, ...], kind: str, **changes: Any) -> int:
        """One MAKE_DEVICE, whose answer comes later; its number."""
        uid, gid = self.ids()
        fields = {
            "kind": kind,
            "name": "device0",
            "host_uid": uid,
            "host_gid": gid,
            "limits": self.limits,
            "seccomp": self.seccomp,
            **changes,
        }
        number = self.zygote.new_request_id()
        self.zygote.send(Message("MAKE_DEVICE", fields, number, descriptors))
        return number

    def next_from_zygote(self) -> Message:
        wait_readable(self.zygote.fileno(), "the zygote's answer")
        answer = self.zygote.receive()
        assert answer is not None
        return answer

    def start(self, module: DeviceModule, control_fd: int, black_box_fd: int) -> int:
        """What a DeviceRig starts its process with."""
        answer = self.ask((control_fd, black_box_fd), module.kind)
        assert answer.name == "MADE_DEVICE", answer.fields
        self.devices += 1
        pid: int = answer.fields["pid"]
        return pid

    def end_zygote(self) -> int:
        self.zygote.close()
        return wait_for_end(self.zygote_pid)

    def close(self) -> None:
        """Ends both by closing their sockets, which must be enough."""
        if self.zygote.fileno() >= 0:
            assert self.end_zygote() == 0
        self.spawner.close()
        assert wait_for_end(self.spawner.pid) == 0
        if self.lease is not None:
            self.lease.close()
