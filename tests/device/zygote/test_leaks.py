"""Nothing is left of spawner, zygote and devices, however they end; and what were left would be found."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from tests.device.leak_check import holdings
from tests.device.zygote.born_device import BornDevice, born_device
from tests.device.zygote.zygote_rig import ZygoteRig, wait_for_end


def _a_life(lock_file: Path, kill: bool) -> None:
    rig = ZygoteRig(lock_file, seccomp=True)
    devices = [BornDevice(rig) for _ in range(4)]
    for device in devices:
        device.certificate()
    if kill:
        for pid in (*[device.pid for device in devices], rig.zygote_pid):
            os.kill(pid, signal.SIGKILL)
        for device in devices:
            device.close()
        assert wait_for_end(rig.zygote_pid) == -signal.SIGKILL
        rig.zygote.close()
        rig.new_zygote()
        with born_device(rig) as device:
            device.certificate()
    else:
        for device in devices:
            device.close()
    rig.close()


@pytest.mark.parametrize("kill", [False, True], ids=["closed", "killed"])
def test_nothing_is_left(tmp_path: Path, kill: bool) -> None:
    before = holdings()
    _a_life(tmp_path / "uids.lock", kill)
    assert holdings() - before == set()


def test_while_it_lives_it_is_seen(tmp_path: Path) -> None:
    before = holdings()
    rig = ZygoteRig(tmp_path / "uids.lock", seccomp=True)
    with born_device(rig) as device:
        device.certificate()
        new = holdings() - before
        for pid in (rig.spawner.pid, rig.zygote_pid, device.pid):
            assert f"process {pid}" in new
        assert sum(line.startswith("namespace ") for line in new) >= 6
        assert any("uids.lock" in line for line in new) == rig.own_uids
    rig.close()


def test_a_planted_leak_is_found() -> None:
    before = holdings()
    sockets = socket.socketpair()
    child = subprocess.Popen(["sleep", "1000"])
    new = holdings() - before
    child.kill()
    child.wait()
    for end in sockets:
        end.close()
    assert f"process {child.pid}" in new
    assert sum("socket:" in line for line in new) == 2
    assert holdings() - before == set()
