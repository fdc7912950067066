"""Why a device process died, in words: from its wait status, its black box, and what main saw before."""

from __future__ import annotations

import os

from vmm_main.kvm._kvm import ffi, lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vmm_main.device_supervisor.black_box import BlackBox

_CONTROL_THREAD, _WORKER_THREAD = 1, 2
_HIGHEST_CALL = (1 << 31) - 1


class Death:
    """The end of one process.

    Attributes:
        cause: For people: "killed by SIGKILL", "refused system call openat by the worker thread".
        is_fault: Whether its successor must come from a new zygote (DESIGN §1): after everything but a clean
            exit and an operator's kill.
    """

    __slots__ = ("cause", "is_fault")

    def __init__(self, cause: str, *, is_fault: bool) -> None:
        self.cause = cause
        self.is_fault = is_fault


def describe_death(status: os.waitid_result, box: BlackBox, known_reason: str | None) -> Death:
    """What ended a process.

    Args:
        status: Of waitid().
        box: Its black box, which it may have filled with lies; the wait status can't be forged.
        known_reason: Why main killed it, or what it said or did before its end; None if nothing is known.
    """
    killed_by = status.si_status if status.si_code in (os.CLD_KILLED, os.CLD_DUMPED) else None
    refused = box.refused_call
    if refused is not None and killed_by is None and status.si_status != 0:
        number, thread, rip = refused
        return Death(
            f"refused system call {_call_name(number)} by {_thread_name(thread)} at {rip:#x}", is_fault=True
        )
    if killed_by is not None:
        import signal

        try:
            name = signal.Signals(killed_by).name
        except ValueError:
            name = f"signal {killed_by}"
        if killed_by == signal.SIGKILL:
            return Death(known_reason or "killed by SIGKILL", is_fault=known_reason is not None)
        fault = box.fault
        where = ""
        if fault is not None and fault[0] == killed_by:
            _, thread, rip, address = fault
            where = f" in {_thread_name(thread)} at {rip:#x} (address {address:#x})"
        return Death(f"died of {name}{where}", is_fault=True)
    if status.si_status == 0:
        return Death(known_reason or "ended by itself", is_fault=known_reason is not None)
    said = f": {known_reason}" if known_reason else ""
    return Death(f"ended with status {status.si_status}{said}", is_fault=True)


def _thread_name(thread: int) -> str:
    if thread == _CONTROL_THREAD:
        return "the control thread"
    if _WORKER_THREAD <= thread < _WORKER_THREAD + 64:
        return f"worker thread {thread - _WORKER_THREAD}"
    return f"thread {thread}"


def _call_name(number: int) -> str:
    """A system call by its name; its number may be a lie."""
    name = lib.system_call_name(number) if 0 <= number <= _HIGHEST_CALL else ffi.NULL
    return f"{ffi.string(name).decode()} ({number})" if name != ffi.NULL else f"number {number}"
