"""Why a device process died, in words: from its wait status, its black box, and what main saw before."""

from __future__ import annotations

import posix as os

from vmm_main.kvm._kvm import ffi, lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal

    from vmm_main.device_supervisor.black_box import BlackBox
else:
    import _signal  # the same without enum, which costs milliseconds at every start

_CONTROL_THREAD, _WORKER_THREAD = lib.BLACK_BOX_CONTROL_THREAD, lib.BLACK_BOX_WORKER_THREAD
_WORKERS_MAX = lib.BLACK_BOX_QUEUES
_HIGHEST_CALL = (1 << 31) - 1
# What a process was about when it had reached a stage of its start, and no further one.
_STAGES = {
    0: "when it was just cloned",
    lib.STAGE_CLONED: "on its way into the jail",
    lib.STAGE_JAILED: "over its birth certificate",
    lib.STAGE_CERTIFIED: "before it was configured",
    lib.STAGE_CONFIGURED: "when it made the device",
    lib.STAGE_WORKERS_STARTED: "when it put on its filter",
    lib.STAGE_FILTERED: "when it was about to be ready",
}
# The exit status of a process that its own handler ends after a signal (sandbox/fault_report.c).
_DIED_BY = 128


class Death:
    """The end of one process.

    Attributes:
        cause: For people: "killed by SIGKILL", "refused system call openat by worker thread 0".
        is_fault: Whether its successor must come from a new zygote (DESIGN §1): after everything but a clean
            exit and an operator's kill.
    """

    __slots__ = ("cause", "is_fault")

    def __init__(self, cause: str, *, is_fault: bool) -> None:
        self.cause = cause
        self.is_fault = is_fault


def describe_death(
    status: os.waitid_result,
    box: BlackBox,
    known_reason: str | None,
    *,
    was_ready: bool,
    killed_by_main: bool = False,
) -> Death:
    """What ended a process.

    Args:
        status: Of waitid().
        box: Its black box, which it may have filled with lies; the wait status can't be forged.
        known_reason: Why main killed it, or what it said or did before its end; None if nothing is known.
        was_ready: Whether it had said READY; otherwise the cause tells how far it has come.
        killed_by_main: Whether main meant to kill it. A process that main had no pid of yet may have ended
            before that, because its socket had: its status tells nothing then, unless it tells of a fault.
    """
    death = _describe_end(status, box, known_reason, killed_by_main=killed_by_main)
    stage = None if was_ready else _STAGES.get(box.stage)
    return death if stage is None else Death(f"{death.cause}, {stage}", is_fault=death.is_fault)


def _describe_end(
    status: os.waitid_result, box: BlackBox, known_reason: str | None, *, killed_by_main: bool
) -> Death:
    said = f": {known_reason}" if known_reason else ""
    killed = Death(known_reason or "killed by SIGKILL", is_fault=known_reason is not None)
    if status.si_code in (os.CLD_KILLED, os.CLD_DUMPED):
        if status.si_status == _signal.SIGKILL:
            return killed
        return Death(_end_by_signal(box, status.si_status), is_fault=True)
    if status.si_status == 0:
        return (
            killed if killed_by_main else Death(f"ended by itself{said}", is_fault=known_reason is not None)
        )
    number = status.si_status - _DIED_BY
    refused = box.refused_call
    if number == _signal.SIGSYS and refused is not None:
        call, thread, rip = refused
        return Death(
            f"refused system call {_call_name(call)} by {_thread_name(thread)} at {rip:#x}", is_fault=True
        )
    if box.fault is not None and box.fault[0] == number:
        return Death(_end_by_signal(box, number), is_fault=True)
    return killed if killed_by_main else Death(f"ended with status {status.si_status}{said}", is_fault=True)


def _end_by_signal(box: BlackBox, number: int) -> str:
    """Who sent it or where the fault happened, if the process could write that down of this signal."""
    name, fault = _signal_name(number), box.fault
    if fault is None or fault[0] != number:
        return f"died of {name}"
    if box.fault_was_sent:
        return f"killed by {name}, sent by another process"
    _, thread, rip, address = fault
    return f"died of {name} in {_thread_name(thread)} at {rip:#x} (address {address:#x})"


def _signal_name(number: int) -> str:
    import signal

    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _thread_name(thread: int) -> str:
    if thread == _CONTROL_THREAD:
        return "the control thread"
    if _WORKER_THREAD <= thread < _WORKER_THREAD + _WORKERS_MAX:
        return f"worker thread {thread - _WORKER_THREAD}"
    return f"thread {thread}"


def _call_name(number: int) -> str:
    """A system call by its name; its number may be a lie."""
    name = lib.system_call_name(number) if 0 <= number <= _HIGHEST_CALL else ffi.NULL
    return f"{ffi.string(name).decode()} ({number})" if name != ffi.NULL else f"number {number}"
