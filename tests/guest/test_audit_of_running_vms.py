"""bulkhead-audit finds nothing in a main that has what it was told to have, whatever comes and goes."""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.guest.bare_metal_image import BareMetalImages
from tests.guest.conftest import StartBareMetal
from tests.guest.running_vm import DEADLINE_S
from tests.guest.test_audit import AS_ENTITLED, CLEAN, DIFFERS, audited, devices_of, differences, start_vm
from tests.unit.qmp.raw_client import RawClient

pytestmark = pytest.mark.timeout(300)

_KVM_CREATE_VM = 0xAE01


def hand_over(client: RawClient, name: str, fd: int) -> None:
    """getfd; fd is closed here."""
    message = json.dumps({"execute": "getfd", "arguments": {"fdname": name}}).encode()
    socket.send_fds(client.socket, [message], [fd])
    os.close(fd)
    assert client.receive() == {"return": {}}


@contextmanager
def clients_storm(path: str) -> Iterator[None]:
    """Clients come and go all the time."""
    is_over = threading.Event()

    def visit() -> None:
        while not is_over.is_set():
            client = RawClient(path)
            client.negotiate()
            client.close()

    threads = [threading.Thread(target=visit) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        is_over.set()
        for thread in threads:
            thread.join()


def test_files_that_are_renamed_or_removed(start: StartBareMetal, tmp_path: Path) -> None:
    log, output = tmp_path / "log", tmp_path / "output"
    vm = start_vm(
        start,
        *("-D", str(log), "-chardev", f"file,id=f,path={output}", "-initrd", "/etc/passwd"),
        *devices_of(tmp_path),
    )
    assert differences(audited(vm.paths[0], CLEAN)) == []
    for path in (log, output, tmp_path / "blk0.img"):
        path.rename(f"{path}.1")
    log.write_bytes(b"")
    assert differences(audited(vm.paths[0], CLEAN)) == []
    Path(f"{log}.1").unlink()
    assert differences(audited(vm.paths[0], CLEAN)) == []


def test_what_was_handed_over(start: StartBareMetal) -> None:
    vm = start_vm(start)
    client = vm.connect()
    reading, writing = os.pipe()
    given = {
        "file": os.open("/etc/passwd", os.O_RDONLY),
        "network": socket.socket(socket.AF_INET).detach(),
        "eventfd": os.eventfd(0),
        "reading": reading,
        "writing": writing,
    }
    for name, fd in given.items():
        hand_over(client, name, fd)
    socket.send_fds(client.socket, [b'{"execute": "query-status"}'], [0])  # which no command takes
    assert "return" in client.receive()
    assert differences(audited(vm.paths[0], AS_ENTITLED)) == []


def test_what_has_no_identity_is_not_to_be_handed_over(start: StartBareMetal) -> None:
    """All such files are one inode: another VM's can't be told from main's own, but there is one too many."""
    vm = start_vm(start)
    client = vm.connect()
    kvm = os.open("/dev/kvm", os.O_RDWR)
    hand_over(client, "vm", fcntl.ioctl(kvm, _KVM_CREATE_VM, 0))
    os.close(kvm)
    hand_over(client, "process", os.pidfd_open(1))
    found = [said for *_, said in differences(audited(vm.paths[0], DIFFERS))]
    assert len(found) == 2
    assert any("anon_inode:kvm-vm" in said for said in found)
    assert any("anon_inode:[pidfd] 1 " in said for said in found)


def test_clients_and_devices_that_come_and_go(start: StartBareMetal, tmp_path: Path) -> None:
    vm = start_vm(start, *devices_of(tmp_path))
    with clients_storm(vm.paths[0]):
        for name in ("rng0", "blk1", "blk1"):
            found = audited(vm.paths[0], CLEAN)
            assert differences(found) == []
            os.kill(next(one["pid"] for one in found["processes"] if one["name"] == name), signal.SIGKILL)
        assert differences(audited(vm.paths[0], CLEAN)) == []


def test_monitors_and_ports_on_chardevs(start: StartBareMetal, tmp_path: Path) -> None:
    """Also of a VM that is paused, and that was reset."""
    path = str(tmp_path / "monitor")
    vm = start_vm(
        start,
        *("-chardev", f"socket,id=m,path={path},server=on,wait=off", "-mon", "chardev=m,mode=control"),
        *("-chardev", "pty,id=p", "-mon", "chardev=p,mode=control", "-smp", "3"),
        *[word for number in range(11) for word in ("-device", f"virtio-rng-device,rng=r,id=rng{number}")],
        *("-object", "rng-random,id=r,filename=/dev/urandom"),
    )
    client = RawClient(path)
    client.negotiate()
    assert differences(audited(vm.paths[0], CLEAN)) == []
    for command in ("stop", "system_reset"):
        client.send(json.dumps({"execute": command}).encode())
        while "return" not in client.receive():
            pass
        assert differences(audited(vm.paths[0], CLEAN)) == []
    client.close()


def test_a_daemon_with_descriptors_of_its_callers(
    program: str, images: BareMetalImages, tmp_path: Path
) -> None:
    path, disk = tmp_path / "qmp", tmp_path / "disk"
    disk.write_bytes(bytes(1 << 20))
    kernel = os.open(images.form("pvh"), os.O_RDWR)
    image, output = os.open(disk, os.O_RDWR), os.open(tmp_path / "output", os.O_WRONLY | os.O_CREAT)
    given = {1: kernel, 2: image, 3: output, 4: os.eventfd(0)}
    sets = [word for number, fd in given.items() for word in ("-add-fd", f"fd={fd},set={number}")]
    command = [
        *(program, "-daemonize", "-kernel", "/dev/fdset/1", "-append", "test=count nonce=1", *sets),
        *("-drive", "id=d,file=/dev/fdset/2", "-device", "virtio-blk-device,drive=d"),
        *("-serial", "file:/dev/fdset/3", "-qmp", f"unix:{path},server,nowait"),
        *("-pidfile", str(tmp_path / "pid")),
    ]
    subprocess.run(command, pass_fds=tuple(given.values()), timeout=DEADLINE_S, check=True)
    for fd in given.values():
        os.close(fd)
    with Path(tmp_path / "pid").open(encoding="ascii") as file:
        main = os.pidfd_open(int(file.read()))
    try:
        assert differences(audited(str(path), CLEAN)) == []
    finally:
        signal.pidfd_send_signal(main, signal.SIGTERM)
        assert select.select([main], [], [], DEADLINE_S)[0]
        os.close(main)
