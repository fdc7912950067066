"""The death of main by SIGKILL: nothing of its VM outlives it by a second."""

from __future__ import annotations

import fcntl
import os
import random
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.device.supervised_vm import HANGS_AFTER_S
from tests.device.supervisor.host_traces import (
    host_traces,
    new_traces,
    orphans_come_here,
    reap_orphans,
)
from vmm_main.device_supervisor.own_children import own_children

PROGRAM = Path(__file__).with_name("main_program.py")


def _kill_main(directory: Path, moment: str, delay_s: float) -> set[int]:
    """Starts a VM, waits for the moment and a while longer, and kills main; returns the VM's processes."""
    lock_file = directory / "uids.lock"
    main = subprocess.Popen(
        [sys.executable, str(PROGRAM), str(lock_file), "2", moment], stdout=subprocess.PIPE
    )
    try:
        assert main.stdout is not None
        assert select.select([main.stdout], [], [], HANGS_AFTER_S)[0], "main says nothing"
        assert main.stdout.readline().decode().strip() == moment
        select.select([], [], [], delay_s)
        family = {int(pid) for task in _tasks(main.pid) for pid in task.read_text().split()}
    finally:
        main.kill()
        main.wait()
        assert main.stdout is not None
        main.stdout.close()
    return family


def _tasks(pid: int) -> list[Path]:
    return list(Path(f"/proc/{pid}/task").glob("*/children"))


@pytest.mark.parametrize("moment", ["start", "load"])
def test_nothing_is_left(tmp_path: Path, repetitions: Callable[[int], int], moment: str) -> None:
    seen = 0
    (tmp_path / "uids.lock").touch()
    children, before = set(own_children() or ()), host_traces(tmp_path)
    chance = random.Random(4)
    with orphans_come_here():
        for _ in range(repetitions(50)):
            # A start takes some 0.05 s: the whole of it is tried.
            delay_s = chance.uniform(0, 0.06) if moment == "start" else 0.0
            family = _kill_main(tmp_path, moment, delay_s)
            seen += len(family)
            assert reap_orphans(children) == []
            assert [pid for pid in family if Path(f"/proc/{pid}").exists()] == []
            assert new_traces(before, host_traces(tmp_path)) == {}
    print(f"main killed at {moment}: {seen} processes went with it")
    assert seen > 0


def test_stopped_processes_go_too(tmp_path: Path) -> None:
    """A process that stands still hears of no end of a socket; the signal of a parent's death reaches it."""
    children = set(own_children() or ())
    with orphans_come_here():
        main = subprocess.Popen(
            [sys.executable, str(PROGRAM), str(tmp_path / "uids.lock"), "2", "load"], stdout=subprocess.PIPE
        )
        assert main.stdout is not None
        with main.stdout as said:
            assert said.readline() == b"load\n"
        family = [int(pid) for task in _tasks(main.pid) for pid in task.read_text().split()]
        assert len(family) == 4  # spawner, zygote, two devices
        for pid in family:
            os.kill(pid, signal.SIGSTOP)
        main.kill()
        main.wait()
        assert reap_orphans(children) == []


def test_a_process_that_lives_on_would_be_seen() -> None:
    children = set(own_children() or ())
    with orphans_come_here():
        parent = "import os,sys; os.fork() or os.execv('/bin/sleep', ['sleep', '60'])"
        subprocess.run([sys.executable, "-c", parent], check=True)
        assert reap_orphans(children) == ["sleep"]


def test_other_leaks_would_be_seen(tmp_path: Path) -> None:
    before = host_traces(tmp_path)
    with (tmp_path / "lock").open("wb") as lock, socket.socket(socket.AF_UNIX) as left:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        left.bind(str(tmp_path / "socket"))
        shared = Path(f"/dev/shm/bulkhead-leak-{os.getpid()}")
        shared.touch()
        try:
            found = new_traces(before, host_traces(tmp_path))
        finally:
            shared.unlink()
    assert found.keys() == {"locks", "sockets", "shared memory", "files"}
    assert found["shared memory"] == {shared.name}


def test_a_mount_that_is_left_would_be_seen(tmp_path: Path) -> None:
    here = host_traces(tmp_path)
    mounted = {**here, "mounts": here["mounts"] | {"36 35 0:33 / /left rw - tmpfs tmpfs rw"}}
    assert new_traces(here, mounted).keys() == {"mounts"}
