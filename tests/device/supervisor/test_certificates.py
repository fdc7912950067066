"""The birth certificates that main keeps, and what each process has later: what it is entitled to."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ipc.birth_certificate import certificate_fields
from tests.device.supervised_vm import SupervisedVm
from tests.device.supervisor.conftest import StartVm, is_closed_to_its_user
from tests.device.supervisor.test_deaths_in_life import wait_for_restart

# Of a virtio-rng at work: what it reads from, one queue's kick and call, and its worker's command and report.
ENTITLED = Counter({"/dev/null": 3, "socket": 1, "/dev/urandom": 1, "anon_inode:[eventfd]": 3})
NAMESPACES = ("cgroup", "ipc", "mnt", "pid", "user", "uts")


def certificate(vm: SupervisedVm, number: int = 0) -> dict[str, Any]:
    process: Any = vm.device(number).process
    return certificate_fields(process.certificate)


def kinds_of(links: Iterable[str]) -> Counter[str]:
    """How many descriptors there are of each kind."""
    return Counter("socket" if link.startswith("socket:") else link for link in links)


def descriptors(pid: int) -> Counter[str]:
    return kinds_of(os.readlink(path) for path in Path(f"/proc/{pid}/fd").iterdir())


def test_each_process_has_one_of_its_own(start_vm: StartVm) -> None:
    vm = start_vm(3)
    if is_closed_to_its_user(vm.pid()):
        return
    seen = set()
    for number in range(3):
        told, pid = certificate(vm, number), vm.pid(number)
        outside = {os.readlink(f"/proc/{pid}/ns/{name}") for name in (*NAMESPACES, "net")}
        assert set(told["namespaces"]) == outside
        assert told["uid_map"].split() == ["0", str(vm.device(number).uid), "1"]
        assert told["uid_map"] == Path(f"/proc/{pid}/uid_map").read_text()
        seen |= outside
    nets = {name for name in seen if name.startswith("net:")}
    assert len(nets) == 1, "one net namespace for the VM"
    assert len(seen) == 1 + 3 * len(NAMESPACES)
    assert not seen & {os.readlink(f"/proc/self/ns/{name}") for name in (*NAMESPACES, "net")}


def test_descriptors(start_vm: StartVm) -> None:
    """At birth the control socket alone; at work what CONFIGURE gave, and guest memory no longer."""
    vm = start_vm()
    for _ in range(3):
        told = certificate(vm)
        assert kinds_of(told["descriptors"].values()) == Counter({"/dev/null": 3, "socket": 1})
        assert vm.call(lambda: vm.supervisor.metrics_of(vm.device())) is not None
        assert is_closed_to_its_user(vm.pid()) or descriptors(vm.pid()) == ENTITLED
        pid = vm.pid()
        os.kill(pid, signal.SIGSEGV)
        wait_for_restart(vm, pid)


def test_a_successor_has_its_own(start_vm: StartVm) -> None:
    vm = start_vm()
    first, pid = certificate(vm), vm.pid()
    vm.call(vm.device().restart)
    wait_for_restart(vm, pid)
    second = certificate(vm)
    assert first["uid_map"] == second["uid_map"]
    nets = [[name for name in told["namespaces"] if name.startswith("net:")] for told in (first, second)]
    assert nets[0] == nets[1], "still the VM's"
    pids = [told["status"].partition("\nPid:")[2].split()[0] for told in (first, second)]
    assert pids == [str(pid), str(vm.pid())]
