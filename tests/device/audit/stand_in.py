"""A process that jails itself as a device's does, but for what it is told to leave out or to take with it.

python -m tests.device.audit.stand_in JSON: see stand_in_rig.py. The stand-in is a child of whoever runs this;
its pid is the output. It says its birth certificate on the control socket, then "ready", and waits.
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

from device_procs.data_plane._data_plane import ffi, lib
from tests.device.audit import raw_calls

_SECRET = "/etc/passwd"
_CAP_NET_RAW = 1 << 13
_NETWORK_OF_THE_VM = raw_calls.NAMESPACES["net"]
_FILES = ("status", "uid_map", "gid_map", "mountinfo", "limits")


class StandIn:
    """One."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.spec = spec
        self.plant: str = spec["plant"]
        self.is_root = os.geteuid() == 0
        self.kept = [*spec["given"].values()]

    def run(self) -> int:
        """Makes the process, as a zygote does, and returns its pid."""
        secret = os.open(_SECRET, os.O_RDONLY)
        self._enter_network()
        hosts_mounts = os.readlink("/proc/self/ns/mnt")
        flags = raw_calls.CLONE_PARENT if self.plant != "parent" else 0
        for name, flag in raw_calls.NAMESPACES.items():
            if name != "net" and self.plant != f"share {name}":
                flags |= flag
        waiting, mapped = os.pipe()
        pid = raw_calls.clone(flags | signal.SIGCHLD)
        if pid == 0:
            os.close(mapped)
            self._live(secret, waiting, hosts_mounts)
        if self.plant != "share user":
            self._write_maps(pid)
        os.write(mapped, b".")
        return pid

    def _enter_network(self) -> None:
        """Of the VM, as a zygote does: by who isn't root in a user namespace that makes others."""
        network = _NETWORK_OF_THE_VM if self.plant != "share net" else 0
        if self.is_root:
            os.setgroups([4] if self.plant == "groups" else [])
            raw_calls.unshare(network)
        else:
            raw_calls.unshare(raw_calls.NAMESPACES["user"] | network)
            assert lib.zygote_map_own_ids(self.spec["uid"], self.spec["gid"]) == 0

    def _write_maps(self, pid: int) -> None:
        uid, gid = self.spec["uid"], self.spec["gid"]
        if not self.is_root:
            uid = gid = lib.ZYGOTE_OWN_ID
        uid += self.plant == "user"
        gid += self.plant == "group"
        for name, number in (("gid_map", gid), ("uid_map", uid)):
            with open(f"/proc/{pid}/{name}", "w", encoding="ascii") as file:
                file.write(f"0 {number} 1")

    def _live(self, secret: int, waiting: int, hosts_mounts: str) -> NoReturn:
        """The stand-in's life."""
        try:
            self._enter_jail(secret, waiting, hosts_mounts)
            self._take_memory(secret)
            self._plant_descriptors(secret)
            self._start_threads()
            self._wait()
        except BaseException as error:
            os.write(self.spec["given"]["control"], f"failed: {error!r}".encode())
            raise
        finally:
            os._exit(1)

    def _enter_jail(self, secret: int, waiting: int, hosts_mounts: str) -> None:
        if self.plant != "session":
            os.setsid()
        proc = os.open("/proc/self", os.O_PATH | os.O_DIRECTORY)
        null = os.open("/dev/null", os.O_RDWR)
        for number in range(3):
            os.dup2(null, number)
        if self.plant == "write access":
            os.dup2(os.open("/dev/urandom", os.O_RDWR), self.spec["given"]["source"])
        for name in os.listdir("/proc/self/fd"):
            if int(name) > 2 and int(name) not in (*self.kept, proc, secret, waiting):
                self._close(int(name))
        os.read(waiting, 1)
        os.close(waiting)
        if self.plant not in ("host's root", "share mnt"):
            assert os.readlink("ns/mnt", dir_fd=proc) != hosts_mounts
            self._empty_root()
        self._limit()
        self._become_own_user()
        if self.plant != "no_new_privs":
            assert lib.no_new_privileges() == 0
        raw_calls.prctl(raw_calls.PR_SET_PDEATHSIG, signal.SIGKILL)
        version = 0 if self.plant == "Landlock" else lib.landlock_version()
        self._certify(proc, version)
        if self.plant != "no_new_privs":  # which it needs
            assert lib.landlock_forbid_all(version) == 0
        raw_calls.prctl(raw_calls.PR_SET_DUMPABLE, self.plant == "dumpable")

    def _close(self, fd: int) -> None:
        try:
            os.close(fd)
        except OSError:
            return  # that of the listing

    def _empty_root(self) -> None:
        raw_calls.mount("", "/", "", raw_calls.MS_REC | raw_calls.MS_PRIVATE, "")
        flags = raw_calls.MS_NOSUID | raw_calls.MS_NODEV | raw_calls.MS_NOEXEC
        is_written = self.plant in ("writable root", "file in root")
        flags |= 0 if is_written else raw_calls.MS_RDONLY
        mode = "0777" if self.plant == "file in root" else "0555"
        raw_calls.mount("stand-in", "/proc", "tmpfs", flags, f"size=4k,nr_inodes=2,mode={mode}")
        os.chdir("/proc")
        hosts = os.open("/", os.O_PATH | os.O_DIRECTORY)
        raw_calls.pivot_root_here()
        os.chdir("/")
        if self.plant == "working directory":
            os.fchdir(hosts)
        os.close(hosts)
        if self.plant == "mount":
            raw_calls.mount("another", "/", "tmpfs", flags, "size=4k")

    def _limit(self) -> None:
        raw_calls.limit(raw_calls.RLIMIT_CORE, 0)
        if self.plant == "limits":
            return
        limits = self.spec["limits"]
        for which, value in (
            (raw_calls.RLIMIT_NOFILE, limits["nofile"]),
            (raw_calls.RLIMIT_FSIZE, limits["fsize"]),
            (raw_calls.RLIMIT_DATA, limits["data"]),
        ):
            is_higher = self.plant == "hard limit" and which == raw_calls.RLIMIT_NOFILE
            raw_calls.limit(which, value, value + is_higher)

    def _become_own_user(self) -> None:
        uid, gid = (0, 0)
        if self.plant == "share user":
            uid, gid = self.spec["uid"], self.spec["gid"]
            assert lib.capabilities_keep(lib.CAPABILITY_SETUID | lib.CAPABILITY_SETGID) == 0
        elif self.plant != "groups" and self.is_root:
            os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
        if self.plant == "file in root":
            os.mkdir("/left")
            flags = raw_calls.MS_NOSUID | raw_calls.MS_NODEV | raw_calls.MS_NOEXEC | raw_calls.MS_RDONLY
            raw_calls.mount("", "/", "", flags | raw_calls.MS_REMOUNT | raw_calls.MS_BIND, "")
        assert lib.capabilities_keep(_CAP_NET_RAW if self.plant == "capability" else 0) == 0

    def _certify(self, proc: int, landlock: int) -> None:
        """As device_procs/sandbox/birth_certificate.c does."""
        told = []
        for name in _FILES:
            fd = os.open(name, os.O_RDONLY, dir_fd=proc)
            text = b""
            while part := os.read(fd, 1 << 16):
                text += part
            told += [name, text.decode()]
            os.close(fd)
        for kind in sorted(raw_calls.NAMESPACES):
            told += [f"ns/{kind}", os.readlink(f"ns/{kind}", dir_fd=proc)]
        if self.plant == "certificate":
            told[told.index("ns/ipc") + 1] = "ipc:[1]"
        told += ["landlock", str(landlock), ""]
        os.close(proc)
        os.write(self.spec["given"]["control"], "\0".join(told).encode())

    def _take_memory(self, secret: int) -> None:
        """Maps what is shared, and closes it; and what nobody has allowed."""
        given = self.spec["given"]
        read, both = mmap.PROT_READ, mmap.PROT_READ | mmap.PROT_WRITE
        for name in ("memory", "black box"):
            raw_calls.map_memory(given[name], os.fstat(given[name]).st_size, both, mmap.MAP_SHARED)
            os.close(given[name])
        siblings = given["sibling's black box"]
        if self.plant.startswith("sibling's memory"):
            protection = read if "read-only" in self.plant else both
            raw_calls.map_memory(siblings, mmap.PAGESIZE, protection, mmap.MAP_SHARED)
        os.close(siblings)
        if self.plant == "anonymous shared memory":
            raw_calls.map_memory(-1, mmap.PAGESIZE, both, mmap.MAP_SHARED | mmap.MAP_ANONYMOUS)
        if self.plant == "code":
            raw_calls.map_memory(-1, mmap.PAGESIZE, both | mmap.PROT_EXEC, raw_calls.PRIVATE)
        if self.plant == "page tables":
            size = 1 << 30
            raw_calls.use_sparsely(raw_calls.map_memory(-1, size, read, raw_calls.PRIVATE), size)
        if self.plant == "mapped file":
            raw_calls.map_memory(secret, mmap.PAGESIZE, read, mmap.MAP_PRIVATE)

    def _plant_descriptors(self, secret: int) -> None:
        given = self.spec["given"]
        self._report = os.eventfd(0)
        if self.plant in ("ring", "ring with a file"):
            ring = raw_calls.io_uring()
            if ring is not None:
                raw_calls.register_files(ring, given["source"], *([secret] if "file" in self.plant else []))
        if self.plant != "descriptor":
            os.close(secret)
        if self.plant != "sibling's descriptor":
            os.close(given["sibling's kick"])
        if self.plant == "pipe":
            os.pipe()
        if self.plant == "eventfds":
            for _ in range(3):
                os.eventfd(0)
        if self.plant == "socket":
            socket.socket(socket.AF_UNIX).detach()

    def _start_threads(self) -> None:
        """None of Python's: the control thread's filter has no call to wait for another one's lock."""
        if self.plant == "child" and os.fork() == 0:
            signal.pause()
        has_filters = self.plant not in ("no_new_privs", "no filters")
        if has_filters:
            assert lib.filters_install(b"zygote") == 0
        if has_filters and self.plant != "worker's filter":
            self._start_worker()
        else:
            raw_calls.start_waiting_thread()
        if self.plant == "thread":
            raw_calls.start_waiting_thread()
        if has_filters and self.plant != "control's filter":
            assert lib.filters_install(b"virtio_rng_control") == 0

    def _start_worker(self) -> None:
        """The real one, of a device that does nothing."""
        profile = b"zygote" if self.plant == "another filter" else b"virtio_rng_worker"
        self._profile = ffi.new("char[]", profile)
        self._worker = ffi.new("struct worker *")
        lib.worker_init(self._worker)
        self._worker.ops = ffi.addressof(lib.null_device_ops)
        self._worker.profile = self._profile
        self._worker.count = 1
        self._worker.report_fd = self._report
        self._worker.queues[0].kick_fd = self.spec["given"]["kick"]
        self._worker.queues[0].call_fd = self.spec["given"]["call"]
        assert lib.worker_start(self._worker) == 0

    def _wait(self) -> None:
        """Until main, that is the test, kills it."""
        os.write(self.spec["given"]["control"], b"ready")
        poll = select.poll()
        poll.register(self.spec["given"]["control"], select.POLLIN)
        poll.poll()


if __name__ == "__main__":
    stand_in = StandIn(json.loads(sys.argv[1]))
    print(stand_in.run(), flush=True)
    if stand_in.plant == "parent":
        sys.stdin.read()
    os._exit(0)  # what a child of threads' interpreter left is its own
