"""Causes of death in words: from true wait statuses of real processes, and black boxes that say anything."""

from __future__ import annotations

import mmap
import os
import signal
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmm_main.device_supervisor.black_box import BlackBox
from vmm_main.device_supervisor.cause_of_death import Death, describe_death
from vmm_main.kvm._kvm import ffi, lib

SIGSYS_STATUS = 128 + signal.SIGSYS
OPENAT = 257


class WrittenBox(BlackBox):
    """A black box, with the side that a device process has of it."""

    __slots__ = ("_theirs", "page")

    def __init__(self, **fields: int) -> None:
        super().__init__()
        self._theirs = mmap.mmap(self.fd, lib.BLACK_BOX_BYTES)
        self.page = ffi.cast("struct black_box *", ffi.from_buffer(self._theirs))
        self.page.stage = lib.STAGE_READY
        for name, value in fields.items():
            setattr(self.page, name, value)

    def fill(self, data: bytes) -> None:
        self._theirs[: len(data)] = data


def _status(child: Callable[[], object]) -> os.waitid_result:
    """What waitid() says of a process that does this."""
    pid = os.fork()
    if pid == 0:
        try:
            child()
        finally:
            os._exit(99)
    status = os.waitid(os.P_PID, pid, os.WEXITED)
    assert status is not None
    return status


def _exits(number: int) -> os.waitid_result:
    return _status(lambda: os._exit(number))


def _dies_of(number: signal.Signals) -> os.waitid_result:
    def die() -> None:
        signal.signal(number, signal.SIG_DFL) if number != signal.SIGKILL else None
        os.kill(os.getpid(), number)

    return _status(die)


@pytest.fixture
def box() -> Iterator[WrittenBox]:
    made = WrittenBox()
    yield made
    made.close()


def _describe(status: os.waitid_result, box: BlackBox, reason: str | None = None) -> Death:
    return describe_death(status, box, reason, was_ready=True)


def _says(death: Death, cause: str, *, is_fault: bool) -> None:
    assert (death.cause, death.is_fault) == (cause, is_fault)


def test_a_kill_from_outside(box: WrittenBox) -> None:
    _says(_describe(_dies_of(signal.SIGKILL), box), "killed by SIGKILL", is_fault=False)


def test_a_kill_by_main(box: WrittenBox) -> None:
    death = _describe(_dies_of(signal.SIGKILL), box, "not ready within 60 s")
    _says(death, "not ready within 60 s", is_fault=True)


@pytest.mark.parametrize("number", [0, 1, 70])
@pytest.mark.parametrize(
    ("reason", "cause"), [(None, "killed by SIGKILL"), ("not ready within 60 s", "not ready within 60 s")]
)
def test_an_exit_before_the_kill_of_main(
    box: WrittenBox, number: int, reason: str | None, cause: str
) -> None:
    """The end of its socket comes first to a process that main has no pid of yet."""
    death = describe_death(_exits(number), box, reason, was_ready=True, killed_by_main=True)
    _says(death, cause, is_fault=reason is not None)


def test_a_fault_before_the_kill_of_main(box: WrittenBox) -> None:
    """That isn't main's doing."""
    died = _dies_of(signal.SIGSEGV)
    death = describe_death(died, box, "not ready within 60 s", was_ready=True, killed_by_main=True)
    _says(death, "died of SIGSEGV", is_fault=True)
    box.page.fault_signal, box.page.fault_sent = signal.SIGABRT, 1
    handled = _exits(128 + signal.SIGABRT)
    death = describe_death(handled, box, None, was_ready=True, killed_by_main=True)
    _says(death, "killed by SIGABRT, sent by another process", is_fault=True)


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGSYS])
def test_a_signal_without_a_report(box: WrittenBox, number: signal.Signals) -> None:
    _says(_describe(_dies_of(number), box), f"died of {number.name}", is_fault=True)


def test_a_fault_with_its_place(box: WrittenBox) -> None:
    box.page.fault_signal, box.page.fault_thread = signal.SIGSEGV, lib.BLACK_BOX_WORKER_THREAD + 1
    box.page.fault_rip, box.page.fault_address = 0x1234, 0x10
    cause = "died of SIGSEGV in worker thread 1 at 0x1234 (address 0x10)"
    _says(_describe(_dies_of(signal.SIGSEGV), box), cause, is_fault=True)


def test_a_fault_signal_that_somebody_sent(box: WrittenBox) -> None:
    box.page.fault_signal, box.page.fault_sent = signal.SIGSEGV, 1
    cause = "killed by SIGSEGV, sent by another process"
    _says(_describe(_dies_of(signal.SIGSEGV), box), cause, is_fault=True)
    _says(_describe(_exits(128 + signal.SIGSEGV), box), cause, is_fault=True)


def test_an_abort_that_its_handler_ended(box: WrittenBox) -> None:
    box.page.fault_signal, box.page.fault_thread = signal.SIGABRT, lib.BLACK_BOX_CONTROL_THREAD
    cause = "died of SIGABRT in the control thread at 0x0 (address 0x0)"
    _says(_describe(_exits(128 + signal.SIGABRT), box), cause, is_fault=True)


def test_a_place_of_another_signal_is_not_told(box: WrittenBox) -> None:
    box.page.fault_signal = signal.SIGBUS
    _says(_describe(_dies_of(signal.SIGSEGV), box), "died of SIGSEGV", is_fault=True)


def test_a_refused_call(box: WrittenBox) -> None:
    box.page.refused_syscall, box.page.refused_rip = OPENAT, 0x55
    box.page.refused_thread = lib.BLACK_BOX_WORKER_THREAD
    cause = "refused system call openat (257) by worker thread 0 at 0x55"
    _says(_describe(_exits(SIGSYS_STATUS), box), cause, is_fault=True)


def test_a_refused_call_without_a_name(box: WrittenBox) -> None:
    box.page.refused_syscall, box.page.refused_thread = 0xFFFFFFFF, 0xFFFFFFFF
    cause = "refused system call number 4294967295 by thread 4294967295 at 0x0"
    _says(_describe(_exits(SIGSYS_STATUS), box), cause, is_fault=True)


def test_a_lie_about_a_refused_call_hides_no_other_end(box: WrittenBox) -> None:
    box.page.refused_syscall, box.page.refused_thread = OPENAT, lib.BLACK_BOX_CONTROL_THREAD
    _says(_describe(_dies_of(signal.SIGSEGV), box), "died of SIGSEGV", is_fault=True)
    _says(_describe(_exits(70), box, "said: no"), "ended with status 70: said: no", is_fault=True)
    _says(_describe(_exits(0), box), "ended by itself", is_fault=False)


def test_the_stage_of_its_start(box: WrittenBox) -> None:
    box.page.stage = lib.STAGE_JAILED
    cause = "killed by SIGKILL, over its birth certificate"
    death = describe_death(_dies_of(signal.SIGKILL), box, None, was_ready=False)
    _says(death, cause, is_fault=False)
    _says(_describe(_dies_of(signal.SIGKILL), box), "killed by SIGKILL", is_fault=False)


STATUSES = [_exits(0), _exits(1), _exits(SIGSYS_STATUS), _exits(128 + signal.SIGSEGV), _exits(255)]


@given(garbage=st.binary(min_size=128, max_size=4096), status=st.sampled_from(STATUSES))
def test_garbage_is_a_cause_in_one_line(garbage: bytes, status: os.waitid_result) -> None:
    box = WrittenBox()
    try:
        box.fill(garbage)
        cause = describe_death(status, box, None, was_ready=False).cause
        assert cause.isascii()
        assert cause.isprintable()
        assert len(cause) < 200
        for index in range(lib.BLACK_BOX_QUEUES):
            assert all(0 <= count < 1 << 64 for count in box.queue_counters(index).values())
        assert 0 <= box.python_calls < 1 << 64
    finally:
        box.page = None
        box.close()


def test_the_page_cannot_be_shrunk(box: WrittenBox) -> None:
    """Main would die of SIGBUS at its next look."""
    with pytest.raises(PermissionError):
        os.ftruncate(box.fd, 0)
