"""How a device process dies, and what its black box and its exit status say of it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from device_procs.data_plane._data_plane import lib
from tests.device.sandbox.conftest import TOLD_KINDS, TOLD_OPTIONS
from tests.device.sandbox.told_extension import lib as told_lib
from tests.device.sandbox.told_kinds import FOLDERS
from tests.device.sandbox.told_rig import CONTROL, WORKER, ToldRig, told_device
from tests.device.zygote.zygote_rig import HANGS_AFTER_S, ZygoteRig

FOLDER = "virtio_rng"
THREADS = {CONTROL: lib.BLACK_BOX_CONTROL_THREAD, WORKER: lib.BLACK_BOX_WORKER_THREAD}
NOWHERE = 0x10


@pytest.fixture
def device(confined: ZygoteRig) -> Iterator[ToldRig]:
    with told_device(confined, FOLDER) as rig:
        rig.get_ready()
        rig.request("GET_METRICS", "METRICS")  # it is up, and its handlers are in place
        yield rig


@pytest.mark.parametrize("thread", THREADS)
def test_a_bad_read_is_written_down(device: ToldRig, thread: str) -> None:
    """Traced, the first process of a pid namespace doesn't die of its faults: nothing here waits for it."""
    box = device.black_box.page
    device.tell(thread, told_lib.TOLD_BAD_READ, (NOWHERE,))
    until = time.monotonic() + HANGS_AFTER_S
    while box.fault_signal == 0 and time.monotonic() < until:
        os.sched_yield()
    signal.pidfd_send_signal(device.pidfd, signal.SIGKILL)
    device.wait_for_end()
    assert (box.fault_signal, box.fault_thread, box.fault_address) == (11, THREADS[thread], NOWHERE)
    assert box.fault_rip != 0
    assert box.refused_thread == lib.BLACK_BOX_NO_THREAD


@pytest.mark.untraced
@pytest.mark.parametrize("thread", THREADS)
def test_a_bad_read_kills_by_sigsegv(device: ToldRig, thread: str) -> None:
    device.tell(thread, told_lib.TOLD_BAD_READ, (NOWHERE,))
    assert device.wait_for_end() == -signal.SIGSEGV


@pytest.mark.untraced
def test_a_fresh_zygote_has_another_layout(lock_file: Path) -> None:
    """Siblings crash at the same address, which is why a successor of a crash comes from another zygote."""

    def place_of_a_crash(zygote: ZygoteRig) -> int:
        with told_device(zygote, FOLDER) as device:
            device.get_ready()
            device.tell(CONTROL, told_lib.TOLD_BAD_READ, (NOWHERE,))
            assert device.wait_for_end() == -signal.SIGSEGV
            return int(device.black_box.page.fault_rip)

    zygote = ZygoteRig(lock_file, seccomp=True, extra_kinds=TOLD_KINDS, xoptions=TOLD_OPTIONS)
    first = place_of_a_crash(zygote)
    assert place_of_a_crash(zygote) == first
    assert zygote.end_zygote() == 0
    zygote.new_zygote()
    second = place_of_a_crash(zygote)
    assert second != first
    assert second % 4096 == first % 4096  # the same instruction of the same library
    zygote.close()


@pytest.mark.parametrize("thread", THREADS)
def test_an_abort_is_told_as_one(device: ToldRig, thread: str) -> None:
    device.tell(thread, told_lib.TOLD_ABORT, ())
    assert device.wait_for_end() == 128 + signal.SIGABRT
    box = device.black_box.page
    assert (box.fault_signal, box.fault_thread) == (signal.SIGABRT, THREADS[thread])
    assert box.refused_thread == lib.BLACK_BOX_NO_THREAD


def test_an_abort_without_filters_is_told_as_one(unfiltered: ZygoteRig) -> None:
    with told_device(unfiltered, FOLDER) as device:
        device.get_ready()
        device.tell(WORKER, told_lib.TOLD_ABORT, ())
        assert device.wait_for_end() == 128 + signal.SIGABRT
        box = device.black_box.page
        assert (box.fault_signal, box.fault_thread) == (signal.SIGABRT, THREADS[WORKER])


@pytest.mark.parametrize(
    ("number", "status"),
    [
        (signal.SIGKILL, -signal.SIGKILL),
        pytest.param(signal.SIGSEGV, -signal.SIGSEGV, marks=pytest.mark.untraced),
        # The first process of a pid namespace can't die of these unless the CPU raises them.
        (signal.SIGABRT, 128 + signal.SIGABRT),
        (signal.SIGBUS, 128 + signal.SIGBUS),
        (signal.SIGSYS, 128 + signal.SIGSYS),
    ],
    ids=lambda value: value.name if isinstance(value, signal.Signals) else "",
)
def test_a_signal_from_outside_ends_it(device: ToldRig, number: signal.Signals, status: int) -> None:
    signal.pidfd_send_signal(device.pidfd, number)
    assert device.wait_for_end() == status
    assert device.black_box.page.fault_signal == (0 if number == signal.SIGKILL else number)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_it_ends_with_main_and_not_by_a_polite_signal(device: ToldRig, number: signal.Signals) -> None:
    signal.pidfd_send_signal(device.pidfd, number)
    assert device.request("GET_METRICS", "METRICS")


@pytest.mark.parametrize("folder", FOLDERS)
def test_it_goes_on_after_being_stopped(confined: ZygoteRig, folder: str) -> None:
    """The kernel goes on with the wait that it was stopped in by a system call of its own."""
    with told_device(confined, folder) as device:
        device.get_ready()
        for _ in range(3):
            assert device.request("GET_METRICS", "METRICS")
            _wait_until_it_waits(device)
            signal.pidfd_send_signal(device.pidfd, signal.SIGSTOP)
            os.waitid(os.P_PIDFD, device.pidfd, os.WSTOPPED)
            signal.pidfd_send_signal(device.pidfd, signal.SIGCONT)
        assert device.request("GET_METRICS", "METRICS")


def _wait_until_it_waits(device: ToldRig) -> None:
    stat = Path(f"/proc/{device.pid}/task/{device.pid}/stat")
    expires = time.monotonic() + HANGS_AFTER_S
    while stat.read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "S":
        assert time.monotonic() < expires, "the control thread never waits"
        os.sched_yield()


def test_the_end_of_its_socket_is_its_end(device: ToldRig) -> None:
    device.channel.close()
    assert device.wait_for_end() == 0


def test_nonsense_of_any_size_is_refused_by_name(device: ToldRig) -> None:
    """A packet of small numbers: as Python's objects it is megabytes, which need memory of their own."""
    packet = b"\xdd\x00\x00\xfa\x00" + bytes(range(100, 120)) * 3200
    assert os.write(device.channel.fileno(), packet) == len(packet)
    assert "a packet without m, i and f" in device.expect("FAILED")["reason"]


def test_its_threads_have_names(device: ToldRig) -> None:
    tasks = Path(f"/proc/{device.pid}/task").iterdir()
    names = sorted((task / "comm").read_text(encoding="utf-8").strip() for task in tasks)
    assert "worker0" in names
    assert len(names) == 2
