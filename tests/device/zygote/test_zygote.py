"""Spawner and zygote: what they hold and may do, what they make, and how they end."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from ipc.channel import PeerGoneError
from ipc.messages import Message
from tests.device.zygote.born_device import BornDevice, born_device
from tests.device.zygote.zygote_rig import ZygoteRig, wait_for_end, wait_readable
from vmm_main.device_supervisor import spawner as spawner_module
from vmm_main.device_supervisor.spawner import Spawner
from vmm_main.errors import HostError

SETUID_AND_SETGID = 0xC0


def status_of(pid: int) -> dict[str, str]:
    pairs = (line.partition(":") for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return {name: value.strip() for name, _, value in pairs}


def descriptors_of(pid: int) -> dict[int, str]:
    folder = f"/proc/{pid}/fd"
    return {int(fd): os.readlink(f"{folder}/{fd}").partition(":")[0] for fd in os.listdir(folder)}


def jailed(rig: ZygoteRig) -> None:
    """The zygote is up and in its jail when it has answered."""
    with born_device(rig) as device:
        device.certificate()


CAP_SETPCAP = 1 << 8
# DAC_READ_SEARCH, SETGID, SETUID, SETPCAP, SYS_ADMIN
NEEDED_BY_A_ZYGOTE = 1 << 2 | 1 << 6 | 1 << 7 | CAP_SETPCAP | 1 << 21
ONLY_A_SOCKET = {0: "/dev/null", 1: "/dev/null", 2: "/dev/null", 3: "socket"}


def test_the_spawner_holds_nothing(shared_rig: ZygoteRig) -> None:
    assert descriptors_of(shared_rig.spawner.pid) == ONLY_A_SOCKET
    environment = Path(f"/proc/{shared_rig.spawner.pid}/environ").read_bytes().split(b"\0")
    words = {word for word in environment if word and not word.startswith(b"LD_LIBRARY_PATH=")}
    assert words == {b"LC_ALL=C"}


def test_the_spawner_keeps_what_a_zygote_needs_and_no_more(shared_rig: ZygoteRig) -> None:
    status = status_of(shared_rig.spawner.pid)
    own = status_of(os.getpid())
    may_drop = int(own["CapEff"], 16) & CAP_SETPCAP
    expected = {
        name: int(own[name], 16) & NEEDED_BY_A_ZYGOTE for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")
    }
    expected["CapBnd"] = int(own["CapBnd"], 16) & (NEEDED_BY_A_ZYGOTE if may_drop else ~0)
    assert {name: int(status[name], 16) for name in expected} == expected
    assert status["NoNewPrivs"] == "1"


def test_the_zygote_holds_nothing(shared_rig: ZygoteRig) -> None:
    jailed(shared_rig)
    assert descriptors_of(shared_rig.zygote_pid) == ONLY_A_SOCKET
    assert Path(f"/proc/{shared_rig.zygote_pid}/environ").read_bytes().count(b"SECRET") == 0


def test_the_zygote_keeps_what_maps_uids_and_no_more(shared_rig: ZygoteRig) -> None:
    jailed(shared_rig)
    status = status_of(shared_rig.zygote_pid)
    kept = {name: int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}
    assert kept == {
        "CapInh": 0,
        "CapPrm": SETUID_AND_SETGID,
        "CapEff": SETUID_AND_SETGID,
        "CapBnd": 0,
        "CapAmb": 0,
    }
    assert (status["NoNewPrivs"], status["Seccomp"], status["Seccomp_filters"]) == ("1", "2", "1")
    assert status["Threads"] == "1"


def test_main_is_everyones_parent(shared_rig: ZygoteRig) -> None:
    with born_device(shared_rig) as device:
        for pid in (shared_rig.spawner.pid, shared_rig.zygote_pid, device.pid):
            assert int(status_of(pid)["PPid"]) == os.getpid()


def test_the_zygote_is_in_the_net_namespace_of_its_devices(shared_rig: ZygoteRig) -> None:
    with born_device(shared_rig) as device:
        namespaces = [link for link in device.certificate()["namespaces"] if link.startswith("net:")]
        assert namespaces == [os.readlink(f"/proc/{shared_rig.zygote_pid}/ns/net")]


def test_a_kind_that_there_is_not_is_refused_and_the_zygote_goes_on(shared_rig: ZygoteRig) -> None:
    with born_device(shared_rig, kind="virtio-teapot") as device:
        assert device.answer.name == "FAILED"
        assert device.answer.fields["reason"] == "no kind of device is called 'virtio-teapot'"
    jailed(shared_rig)


@pytest.mark.parametrize("together", range(2, 8))
def test_requests_that_come_together_are_answered_one_by_one(shared_rig: ZygoteRig, together: int) -> None:
    jailed(shared_rig)
    os.kill(shared_rig.zygote_pid, signal.SIGSTOP)
    # Each process has the others' descriptors at first, whatever their numbers: it must keep its own.
    devices = [BornDevice(shared_rig, wait=False) for _ in range(together - 1)]
    unknown = BornDevice(shared_rig, wait=False, kind="virtio-nonsense")
    devices.append(BornDevice(shared_rig, wait=False))
    os.kill(shared_rig.zygote_pid, signal.SIGCONT)
    for device in (*devices[:-1], unknown, devices[-1]):
        device.take_answer()
    assert unknown.answer.name == "FAILED"
    assert unknown.answer.request_id == unknown.request_id
    unknown.close()
    for device in devices:
        assert f"\nPid:\t{device.pid}\n" in device.certificate()["status"]
        device.close()
    assert descriptors_of(shared_rig.zygote_pid) == ONLY_A_SOCKET


def test_missing_descriptors_are_refused(shared_rig: ZygoteRig) -> None:
    answer = shared_rig.ask((), "virtio-rng")
    assert (answer.name, answer.fields["reason"]) == (
        "FAILED",
        "needs descriptors: control socket, black box",
    )
    jailed(shared_rig)


def test_a_malformed_request_ends_the_zygote_with_its_reason(rig: ZygoteRig) -> None:
    rig.zygote.send(Message("MAKE_COFFEE"))
    answer = rig.next_from_zygote()
    assert (answer.name, answer.fields["stage"]) == ("FAILED", "request")
    assert "unknown message 'MAKE_COFFEE'" in answer.fields["reason"]
    rig.zygote.close()
    assert wait_for_end(rig.zygote_pid) == 1
    rig.new_zygote()
    jailed(rig)


def test_what_cannot_be_imported_is_told(tmp_path: Path) -> None:
    rig = ZygoteRig(tmp_path / "uids.lock", seccomp=True, extra_kinds="no_such_module")
    answer = rig.next_from_zygote()
    assert answer.fields == {
        "stage": "import",
        "reason": "ModuleNotFoundError: No module named 'no_such_module'",
    }
    assert rig.end_zygote() == 1
    rig.close()


def test_devices_outlive_their_zygote(rig: ZygoteRig) -> None:
    with born_device(rig) as device:
        assert device.certificate()
        os.kill(rig.zygote_pid, signal.SIGKILL)
        assert wait_for_end(rig.zygote_pid) == -signal.SIGKILL
        device.channel.send(Message("QUIESCE"))  # out of turn: it answers that, so it lives
        assert device.next_message().name == "FAILED"
        rig.zygote.close()
        rig.new_zygote()
        jailed(rig)


def test_devices_outlive_the_spawner(tmp_path: Path) -> None:
    rig = ZygoteRig(tmp_path / "uids.lock", seccomp=True)
    os.kill(rig.spawner.pid, signal.SIGKILL)
    assert wait_for_end(rig.spawner.pid) == -signal.SIGKILL
    with pytest.raises(PeerGoneError, match="the spawner is gone"):
        rig.spawner.receive_pid()
    with pytest.raises(PeerGoneError, match="the spawner is gone"):
        rig.new_zygote()
    jailed(rig)  # by the zygote that there is
    assert rig.end_zygote() == 0
    rig.spawner.close()
    if rig.lease is not None:
        rig.lease.close()


def test_the_zygote_goes_on_after_being_stopped(rig: ZygoteRig) -> None:
    jailed(rig)
    os.kill(rig.zygote_pid, signal.SIGSTOP)
    os.waitid(os.P_PID, rig.zygote_pid, os.WSTOPPED)
    os.kill(rig.zygote_pid, signal.SIGCONT)
    jailed(rig)


def test_a_zygote_that_cannot_be_executed_ends_with_127(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launcher = spawner_module._launcher()
    monkeypatch.setattr(spawner_module, "_launcher", lambda: launcher)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))
    spawner = Spawner(own_uids=False, seccomp=True)
    with open("/dev/null", "rb") as null:
        spawner.request_zygote(null.fileno())
    wait_readable(spawner.fileno(), "the spawner's answer")
    pid = spawner.receive_pid()
    assert pid is not None
    assert wait_for_end(pid) == 127
    spawner.close()
    assert wait_for_end(spawner.pid) == 0


def test_a_launcher_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spawner_module, "_launcher", lambda: str(tmp_path / "nothing"))
    with pytest.raises(HostError, match=r"can't start .*/nothing as the spawner: No such file or directory"):
        Spawner(own_uids=False, seccomp=True)
