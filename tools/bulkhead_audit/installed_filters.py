"""The filters that a thread really has: read from the kernel, instruction by instruction, by ptrace.

It takes CAP_SYS_ADMIN, and stops the thread for a fraction of a millisecond, between two of its instructions
as SIGSTOP and SIGCONT would; a system call that waits is begun anew.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import time

from .process_files import GoneError, UnreadableError

_SEIZE, _INTERRUPT, _DETACH, _GET_FILTER = 0x4206, 0x4207, 17, 0x420C
_EVENT_STOP = 128
_WALL = 0x4000_0000
_INSTRUCTION_BYTES = 8
_STOPS_WITHIN_S = 5.0

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.restype = ctypes.c_long


def installed_filters(tid: int) -> list[bytes]:
    """A thread's filters, the first that was installed first.

    Raises:
        UnreadableError: There is no privilege for it, or the kernel hasn't it.
        GoneError: The thread has ended.
    """
    # The kernel tells a tracer by SIGCHLD that its thread has stopped.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    try:
        _ptrace(_SEIZE, tid)
        pending = 0
        try:
            _ptrace(_INTERRUPT, tid)
            pending = _wait_for_stop(tid)
            return _read(tid)
        finally:
            _libc.ptrace(_DETACH, tid, None, ctypes.c_void_p(pending))
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _wait_for_stop(tid: int) -> int:
    """Waits until the thread stands; returns the signal that it was about to get, or 0."""
    until_s = time.monotonic() + _STOPS_WITHIN_S
    while True:
        found, status = os.waitpid(tid, os.WNOHANG | _WALL)
        if found:
            break
        left_s = until_s - time.monotonic()
        if left_s <= 0:
            raise UnreadableError(f"the filters of thread {tid}: it doesn't stop")
        signal.sigtimedwait({signal.SIGCHLD}, left_s)
    if not os.WIFSTOPPED(status):
        raise GoneError(f"thread {tid}: it has ended")
    return 0 if status >> 16 == _EVENT_STOP else os.WSTOPSIG(status)


def _read(tid: int) -> list[bytes]:
    found: list[bytes] = []
    while True:
        try:
            length = _ptrace(_GET_FILTER, tid, len(found), None)
        except FileNotFoundError:  # these were all
            return found
        program = ctypes.create_string_buffer(length * _INSTRUCTION_BYTES)
        _ptrace(_GET_FILTER, tid, len(found), program)
        found.append(program.raw)


def _ptrace(request: int, tid: int, address: int = 0, data: object = None) -> int:
    result: int = _libc.ptrace(request, tid, ctypes.c_void_p(address), data)
    if result >= 0:
        return result
    number = ctypes.get_errno()
    if number == errno.ESRCH:
        raise GoneError(f"thread {tid}: it has ended")
    # No filter of that number, or none at all.
    if number == errno.ENOENT or (number == errno.EINVAL and request == _GET_FILTER):
        raise FileNotFoundError(number, os.strerror(number))
    raise UnreadableError(f"the filters of thread {tid}: {os.strerror(number)}")
