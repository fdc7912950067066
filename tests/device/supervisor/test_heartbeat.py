"""Processes that hang: each kind of device, each way. And what isn't one: nobody may be killed for it.

A process that hangs is found by main's own beats, with requests under way or without, and its successor goes
on with what it had begun.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.device.supervised_vm import HANGS_AFTER_S, SupervisedVm
from tests.device.supervisor.conftest import RESTARTS, StartVm, short_deadlines
from tests.device.supervisor.kinds_at_work import KINDS_AT_WORK, KindAtWork
from tests.device.supervisor.kinds_in_turn import KINDS_OPTION, KindsInTurn
from tests.device.supervisor.staged_kinds import ASKED, staged_kind
from tests.device.virtio_blk.fault_build import POINTS, fault_build_option
from tools.fake_driver.disk_driver import IN, OK, DiskDriver
from vmm_main.device_supervisor.supervisor import DeviceSupervisor

BEAT_S, HANG_S = 0.03, 0.3
CONTROL_HANGS = f"hung: its control thread has answered nothing for {HANG_S:g} s"
WORKER_HANGS = f"hung: worker thread 0 has got nowhere for {HANG_S:g} s"
ONCE_S = 4 * HANG_S  # so long nothing must happen

StartKind = Callable[..., KindAtWork]

pytestmark = [pytest.mark.timeout(120), pytest.mark.usefixtures("no_backoff")]


@pytest.fixture
def start_kind(tmp_path: Path) -> Iterator[StartKind]:
    """Starts a VM with a device of a kind: start_kind(kind, hang_s=..., ...)."""
    with ExitStack() as stack:

        def start(kind: str, *, hang_s: float = HANG_S, **options: Any) -> KindAtWork:
            deadlines = short_deadlines(beat_s=BEAT_S, hang_s=hang_s)
            options = {"restart_limit": RESTARTS, "deadlines": deadlines, **options}
            work = KINDS_AT_WORK[kind](tmp_path, **options)
            stack.callback(work.vm.close)
            return work

        yield start


def arm(vm: SupervisedVm, point: str, number: int = 0) -> None:
    """Has a device's worker go wrong at its next turn, which is now, whether there are requests or not."""
    process: Any = vm.device(number).process
    process.black_box._map.crash_armed = POINTS[point] | 1 << 8
    os.eventfd_write(vm.device(number).kick_fds[0], 1)


def sigstop(work: KindAtWork) -> None:
    os.kill(work.vm.pid(), signal.SIGSTOP)


def loop_in_worker(work: KindAtWork) -> None:
    arm(work.vm, "FAULT_WORKER_LOOPS")


def block_worker(work: KindAtWork) -> None:
    arm(work.vm, "FAULT_WORKER_BLOCKS")


WAYS: dict[str, tuple[Callable[[KindAtWork], None], str]] = {
    "stopped": (sigstop, CONTROL_HANGS),
    "worker loops": (loop_in_worker, WORKER_HANGS),
    "worker blocks": (block_worker, WORKER_HANGS),
}


def wait_for_deaths(vm: SupervisedVm, count: int) -> list[str]:
    """Waits until so many processes have died and were replaced; returns what they died of."""
    vm.wait_for(lambda: [name for name, _ in vm.events].count("DEVICE_PROCESS_RESTARTED") >= count)
    return [data["cause"] for name, data in vm.events if name == "DEVICE_PROCESS_DIED"]


def wait_until(vm: SupervisedVm, is_so: Callable[[], bool]) -> None:
    """Lets main's thread go on until something is so."""
    expires = time.monotonic() + HANGS_AFTER_S
    while not vm.call(is_so):
        assert time.monotonic() < expires, "it is never so"


def wait_for_time(seconds: float) -> None:
    """Nothing that must not happen tells of itself."""
    select.select([], [], [], seconds)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", KINDS_AT_WORK)
def test_found_at_work_and_at_rest(start_kind: StartKind, kind: str, way: str) -> None:
    """And nothing that was under way is lost."""
    work = start_kind(kind, zygote_options=("-X", fault_build_option()))
    hang, cause = WAYS[way]
    work.begin()
    work.finish()
    hang(work)
    assert wait_for_deaths(work.vm, 1) == [cause]
    work.vm.wait_for_state("running")
    hang(work)
    work.begin()
    work.finish()
    assert wait_for_deaths(work.vm, 2) == [cause] * 2
    work.begin()
    work.finish()
    assert work.vm.pauses == []


def test_found_before_a_driver_comes(start_vm: StartVm) -> None:
    """One of two, and the other isn't taken for it."""
    vm = start_vm(2, driver_ok=False, deadlines=short_deadlines(beat_s=BEAT_S, hang_s=HANG_S))
    os.kill(vm.pid(1), signal.SIGSTOP)
    assert wait_for_deaths(vm, 1) == [CONTROL_HANGS]
    assert {data["id"] for _, data in vm.events} == {"rng1"}
    assert vm.call(lambda: vm.device(1).state) == "ready"


@pytest.mark.parametrize("way", ["wait", "block"])
@pytest.mark.parametrize("kind", KINDS_AT_WORK)
def test_a_control_thread_that_loops_or_blocks(start_kind: StartKind, kind: str, way: str) -> None:
    """Its worker goes on meanwhile, and doesn't save it: who can't be told to stop must not work on."""
    work = start_kind(kind, zygote_options=KINDS_OPTION)
    KindsInTurn(work.vm).restart_as(staged_kind(ASKED, way, kind))
    wait_for_deaths(work.vm, 1)
    work.begin()
    work.finish()
    assert wait_for_deaths(work.vm, 2) == ["replaced by device_process_restart", CONTROL_HANGS]
    work.begin()
    work.finish()


def fill_socket(vm: SupervisedVm) -> None:
    """The process, which is stopped, can be told nothing more."""

    def fill() -> None:
        process: Any = vm.device().process
        with suppress(BlockingIOError):
            while True:
                process._channel._socket.send(bytes(64))

    vm.call(fill)


def write_config(vm: SupervisedVm) -> None:
    """The driver goes on writing while the process is stopped."""

    def is_up() -> bool:
        process = vm.device().process
        return process is not None and process.is_up

    while vm.call(is_up):
        vm.device().write_config(0, bytes(4))


@pytest.mark.parametrize("fill", [fill_socket, write_config])
@pytest.mark.parametrize("kind", KINDS_AT_WORK)
def test_a_full_control_socket(
    start_kind: StartKind, kind: str, fill: Callable[[SupervisedVm], None]
) -> None:
    """Found at the next message, be it the driver's or main's own beat, long before the process is late."""
    work = start_kind(kind, hang_s=3600.0)
    sigstop(work)
    work.begin()
    fill(work.vm)
    work.finish()
    assert wait_for_deaths(work.vm, 1) == [f"{work.vm.device().device_id} doesn't read its control socket"]


class Beats:
    """Takes the place of a VM's trace: counts what main asks and is answered."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()

    def __call__(self, text: str) -> None:
        direction, _, said = text.partition(": ")
        way, _, name = direction.partition(" ")
        counts = {("to", "PING"): self.asked, ("from", "PONG"): self.answered}.get((way, said.split()[0]))
        if counts is not None:
            counts[name] += 1


class SlowHosts:
    """What the supervisor reports of slow back ends."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.told: list[tuple[str, str]] = []

        def note(_supervisor: DeviceSupervisor, device_id: str, text: str) -> None:
            self.told.append((device_id, text))

        monkeypatch.setattr(DeviceSupervisor, "report_slow_host", note)


def test_who_waits_with_reason_is_let_alone(
    start_vm: StartVm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An idle device, one whose rate makes a request wait, and two whose back ends take their time."""
    slow_hosts, beats = SlowHosts(monkeypatch), Beats()
    image = tmp_path / "image"
    image.write_bytes(bytes(1 << 20))
    throttled = {"max-bytes": 2048, "period": 32000}  # its second request waits so long
    vm = start_vm(
        0,
        driver_ok=False,
        rngs=[{}, throttled, {}],
        drives=({"file": str(image)},),
        deadlines=short_deadlines(beat_s=BEAT_S, hang_s=HANG_S),
        zygote_options=("-X", fault_build_option()),
        trace=beats,
    )
    for transport in vm.transports:
        transport.driver_ok()
        transport.queues[0].fill(2048)
    vm.transports[1].queues[0].offer(0, 1)
    assert vm.transports[1].queues[0].wait(HANGS_AFTER_S) == (0, 2048)
    slow = {"rng2": 2, "disk0": 3}
    for number in slow.values():
        arm(vm, "FAULT_HOST_LASTS", number)
    vm.transports[2].queues[0].offer(0)
    disk = DiskDriver(vm.ram, vm.transports[3].queues[0], 4096)
    disk.offer(0, IN, 0, room=4096)
    disk.publish()
    wait_for_time(ONCE_S)
    assert vm.events == []
    text = f"worker thread 0 has waited for its back end for {HANG_S:g} s: the host is slow, or hangs"
    assert sorted(slow_hosts.told) == [("disk0", text), ("rng2", text)]
    assert vm.transports[2].queues[0].take() is None
    for number in slow.values():
        process: Any = vm.device(number).process
        process.black_box._map.crash_point = 0
    assert vm.transports[2].queues[0].wait(HANGS_AFTER_S) == (0, 2048)
    assert disk.wait()[1].status == OK
    assert min(beats.answered.values()) > HANG_S / BEAT_S, "too few beats to have told anything"
    assert set(beats.answered) == {"rng0", "rng1", "rng2", "disk0"}


def test_a_vm_that_is_stopped_for_long(start_kind: StartKind) -> None:
    """Its devices are looked after all the same."""
    work = start_kind("virtio-blk")
    work.begin()
    work.vm.call(work.vm.supervisor.quiesce)
    wait_for_time(ONCE_S)
    assert (work.vm.events, work.vm.device().state) == ([], "paused")
    sigstop(work)
    assert wait_for_deaths(work.vm, 1) == [CONTROL_HANGS]
    assert work.vm.call(lambda: work.vm.device().state) == "paused"
    work.vm.call(work.vm.supervisor.resume)
    work.finish()


def test_main_and_a_device_that_stood_still_together(start_kind: StartKind) -> None:
    """As with a host that is suspended, or a frozen cgroup: whatever passed meanwhile, nobody is late."""
    beats = Beats()
    work = start_kind("virtio-rng", trace=beats)
    pid, device_id = work.vm.pid(), work.vm.device().device_id

    def stand_still() -> None:
        assert beats.asked[device_id] == beats.answered[device_id] + 1, "nothing is late"
        wait_for_time(ONCE_S)
        os.kill(pid, signal.SIGCONT)

    sigstop(work)
    wait_until(work.vm, lambda: beats.asked[device_id] > beats.answered[device_id])
    work.vm.call(stand_still)
    work.begin()
    work.finish()
    wanted = beats.answered[device_id] + 3
    wait_until(work.vm, lambda: beats.answered[device_id] >= wanted)
    assert (work.vm.events, work.vm.pid()) == ([], pid)


def test_what_a_hostile_process_counts_is_only_numbers(start_kind: StartKind) -> None:
    """It may say that its worker hangs, which it may do by hanging too; main takes no harm by any of it."""
    work = start_kind("virtio-rng")
    process: Any = work.vm.device().process
    queue = process.black_box._map.queues[0]
    queue.worker, queue.turns = (1 << 64) - 1, (1 << 64) - 1
    (cause,) = wait_for_deaths(work.vm, 1)
    assert cause == f"hung: worker thread {(1 << 64) - 1} has got nowhere for {HANG_S:g} s"
    work.begin()
    work.finish()


def test_a_device_that_always_hangs_uses_up_its_restarts(start_kind: StartKind) -> None:
    work = start_kind("virtio-rng", restart_limit=2)
    for count in (1, 2):
        sigstop(work)
        wait_for_deaths(work.vm, count)
    sigstop(work)
    work.vm.wait_for(lambda: bool(work.vm.pauses))
    assert work.vm.pauses == [f"device {work.vm.device().device_id}: its process is gone: {CONTROL_HANGS}"]
