"""A process as main, the spawner or a zygote is one, but for one thing.

python -m tests.device.audit.maker_stand_in JSON: see test_planted_makers.py. The stand-in is a child of
whoever runs this; its pid is the output, and it lives until whoever runs this or main ends it.
"""

from __future__ import annotations

import json
import mmap
import os
import select
import signal
import socket
import sys
from typing import Any, NoReturn

from device_procs.data_plane._data_plane import lib
from tests.device.audit import raw_calls
from vmm_main.kvm._kvm import lib as main_lib

SECRET = "/etc/passwd"
OTHER_ID = 4
CAPABILITIES = {
    "DAC_READ_SEARCH": 2,
    "SETGID": 6,
    "SETUID": 7,
    "SETPCAP": 8,
    "number 13": 13,
    "SYS_ADMIN": 21,
    "SETFCAP": 31,
}
KEPT = {
    "main": (),
    "spawner": ("SYS_ADMIN", "SETUID", "SETGID", "SETPCAP", "DAC_READ_SEARCH", "SETFCAP"),
    "zygote": ("SETUID", "SETGID"),
}
_CONTROL = 3


class MakerStandIn:
    """One."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.role: str = spec["role"]
        self.plant: str = spec["plant"]
        self.given: dict[str, int] = spec["given"]
        self.is_root = os.geteuid() == 0

    def run(self) -> int:
        """Makes the process, and returns its pid once it is what it is to be."""
        is_ready, ready = os.pipe()
        flags = raw_calls.CLONE_PARENT if self.plant != "parent" else 0
        pid = raw_calls.clone(flags | signal.SIGCHLD)
        if pid == 0:
            try:
                self._live(ready)
            finally:
                os._exit(1)
        os.close(ready)
        with open(is_ready, "rb") as said:  # until it has closed its end
            assert said.read() == b".", "its own error is above"
        return pid

    def _live(self, ready: int) -> NoReturn:
        ready = os.dup2(ready, 1000)
        if self.plant != "session":
            os.setsid()
        self._let_go(ready)
        self._plant_descriptors()
        if self.role == "zygote" and self.plant != "net namespace":
            self._enter_network()
        self._plant_memory()
        self._drop_privileges()
        raw_calls.prctl(raw_calls.PR_SET_PDEATHSIG, signal.SIGKILL)
        if self.plant == "child" and os.fork() == 0:
            raw_calls.prctl(raw_calls.PR_SET_PDEATHSIG, signal.SIGKILL)
            os.close(ready)  # not before it would end with its parent
            signal.pause()
        if self.plant == "thread":
            raw_calls.start_waiting_thread()
        self._install_filters()
        os.write(ready, b".")
        os.close(ready)
        while True:
            select.poll().poll()

    def _let_go(self, ready: int) -> None:
        """Of all but its socket to main."""
        null = os.open("/dev/null", os.O_RDWR)
        control = self.given[self.plant if self.plant in self.given else "control"]
        control = os.dup2(control, 1001)
        for number in range(3):
            os.dup2(null, number)
        os.closerange(_CONTROL, ready)
        os.dup2(control, _CONTROL, inheritable=False)
        os.close(control)

    def _enter_network(self) -> None:
        network = raw_calls.NAMESPACES["net"]
        uid, gid = os.getuid(), os.getgid()
        raw_calls.unshare(network if self.is_root else network | raw_calls.NAMESPACES["user"])
        if not self.is_root:
            assert lib.zygote_map_own_ids(uid, gid) == 0

    def _plant_memory(self) -> None:
        both = mmap.PROT_READ | mmap.PROT_WRITE
        if self.plant == "anonymous shared memory":
            raw_calls.map_memory(-1, mmap.PAGESIZE, both, mmap.MAP_SHARED | mmap.MAP_ANONYMOUS)
        elif self.plant == "shared file":
            memory = os.memfd_create("bulkhead-planted")
            os.ftruncate(memory, mmap.PAGESIZE)
            raw_calls.map_memory(memory, mmap.PAGESIZE, both, mmap.MAP_SHARED)
            os.close(memory)
        elif self.plant == "writable code":
            raw_calls.map_memory(-1, mmap.PAGESIZE, both | mmap.PROT_EXEC, raw_calls.PRIVATE)
        elif self.plant == "code from nowhere":
            raw_calls.map_memory(-1, mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_EXEC, raw_calls.PRIVATE)

    def _plant_descriptors(self) -> None:
        if self.plant == "file":
            os.open(SECRET, os.O_RDONLY)
        elif self.plant == "file that was left open":
            os.set_inheritable(os.open(SECRET, os.O_RDONLY), True)
        elif self.plant == "socket that was left open":
            os.set_inheritable(socket.socket(socket.AF_UNIX).detach(), True)
        elif self.plant == "pipe":
            os.pipe()
        elif self.plant == "/dev/null elsewhere":
            os.open("/dev/null", os.O_RDWR)
        elif self.plant == "second socket":
            os.dup(_CONTROL)
        elif self.plant == "socket of an internet":
            self._replace_control(socket.socket(socket.AF_INET).detach())
        elif self.plant == "socket to nobody":
            self._replace_control(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET).detach())
        elif self.plant == "file for a socket":
            self._replace_control(os.open(SECRET, os.O_RDONLY))
        elif self.plant == "device for a socket":
            self._replace_control(os.open("/dev/zero", os.O_RDONLY))

    def _replace_control(self, fd: int) -> None:
        os.dup2(fd, _CONTROL)
        os.close(fd)

    def _drop_privileges(self) -> None:
        if self.plant == "groups":
            os.setgroups([6, 42])
        if self.plant == "group":
            os.setresgid(OTHER_ID, OTHER_ID, OTHER_ID)
        kept = {*KEPT[self.role], self.plant.removeprefix("capability ")} & set(CAPABILITIES)
        mask = sum(1 << CAPABILITIES[name] for name in kept if self.is_root or self.role == "zygote")
        one = 1 << CAPABILITIES["number 13"]
        if self.plant == "user":
            assert lib.capabilities_keep(1 << CAPABILITIES["SETUID"]) == 0
            os.setresuid(OTHER_ID, OTHER_ID, OTHER_ID)
        elif self.plant == "bounding set":
            raw_calls.set_capabilities(mask, 0)
        elif self.plant == "inheritable set":
            raw_calls.set_capabilities(one | mask | 1 << CAPABILITIES["SETPCAP"], one)
            raw_calls.empty_bounding_set()
            raw_calls.set_capabilities(mask, one)
        else:
            assert lib.capabilities_keep(mask) == 0
        if self.plant != "no_new_privs":
            assert lib.no_new_privileges() == 0

    def _install_filters(self) -> None:
        if self.role == "spawner" or self.plant in ("no filter", "no_new_privs"):
            return
        roles = [self.role]
        if self.plant == "another filter":
            roles = ["zygote" if self.role == "main" else "main"]
        elif self.plant == "a filter too many":
            roles *= 2
        for role in roles:
            install = main_lib.filters_install if role == "main" else lib.filters_install
            assert install(role.encode()) == 0


if __name__ == "__main__":
    stand_in = MakerStandIn(json.loads(sys.argv[1]))
    print(stand_in.run(), flush=True)
    if stand_in.plant == "parent":
        sys.stdin.read()
    os._exit(0)
