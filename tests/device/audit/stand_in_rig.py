"""A real VM's entitlements, and a stand-in in the place of its first device."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ipc.birth_certificate import certificate_fields
from tests.device.supervised_vm import SupervisedVm
from tools.bulkhead_audit.audit import host_landlock
from tools.bulkhead_audit.process import Process
from tools.bulkhead_audit.vm import Vm
from vmm_main.device_supervisor import entitlements
from vmm_main.device_supervisor.allowed_calls import program_of
from vmm_main.self_confinement import place

CHECKOUT = Path(__file__).resolve().parents[3]
_DEADLINE_S = 30.0


class Entitled:
    """What main says of a VM's processes: of a real one, whose main is the process of the test."""

    def __init__(self, vm: SupervisedVm) -> None:
        self.vm = vm

    def _told(self) -> list[dict[str, Any]]:
        supervisor = self.vm.supervisor
        memory_fd, _ = supervisor.memory()
        main = entitlements.of_main(supervisor, memory_fd, [], seccomp=supervisor.seccomp)
        told = [{**main, "place": place()}]
        told += entitlements.of_makers(supervisor)
        return told + [entitlements.of_device(supervisor, device) for device in supervisor.devices]

    def records(self) -> list[dict[str, Any]]:
        return self.vm.call(self._told)

    def certificate(self, name: str) -> dict[str, Any]:
        device = self.vm.supervisor.find(name)
        assert device is not None
        assert device.process is not None
        assert device.process.certificate is not None
        return certificate_fields(device.process.certificate)


@contextmanager
def opened(records: list[dict[str, Any]]) -> Iterator[Vm]:
    """The processes, to be looked at."""
    processes = [Process(record) for record in records]
    try:
        profiles = {name for one in records for kind in one["threads"] for name in kind["profiles"]}
        programs = {name: program_of(name) or b"" for name in profiles}
        yield Vm(processes, host_landlock(), programs)
    finally:
        for process in processes:
            process.files.close()


@contextmanager
def stand_in(entitled: Entitled, plant: str) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """The record of the first device with the stand-in's pid, and the stand-in's certificate.

    Args:
        entitled: Of the VM, which has another device.
        plant: What the stand-in does otherwise than it should.
    """
    device, sibling = entitled.vm.device(0), entitled.vm.device(1)
    assert device.process is not None
    assert sibling.process is not None
    record = next(one for one in entitled.records() if one["name"] == device.device_id)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    given = {
        "control": theirs.fileno(),
        "source": device.held.backends[0],
        "kick": device.kick_fds[0],
        "call": device.call_fds[0],
        "memory": entitled.vm.supervisor.memory()[0],
        "black box": device.process.black_box.fd,
        "sibling's black box": sibling.process.black_box.fd,
        "sibling's kick": sibling.kick_fds[0],
    }
    record["descriptors"][0]["inode"] = os.fstat(theirs.fileno()).st_ino
    if plant.startswith("ring"):
        record["own-descriptors"].append({"what": "anon_inode:[io_uring]", "most": 1})
    spec = {name: record[name] for name in ("uid", "gid", "limits")} | {"given": given, "plant": plant}
    maker = subprocess.Popen(
        [sys.executable, "-m", "tests.device.audit.stand_in", json.dumps(spec)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=tuple(given.values()),
        cwd=CHECKOUT,
    )
    pid = 0
    try:
        assert maker.stdout is not None
        pid = int(maker.stdout.readline())
        theirs.close()
        ours.settimeout(_DEADLINE_S)
        said, ready = ours.recv(1 << 16), ours.recv(1 << 16)
        assert ready == b"ready", (said, ready)
        certificate = certificate_fields(said)
        record["pid"] = pid
        record["threads"][0]["ids"] = [pid]
        yield record, certificate
    finally:
        ours.close()
        if pid:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            if plant != "parent":
                os.waitpid(pid, 0)
        maker.communicate(timeout=_DEADLINE_S)
