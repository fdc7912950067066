"""What it does to what it has mapped or holds together with main: noise, floods, flags, lies about itself."""

from __future__ import annotations

import fcntl
import os

from tests.device.hostile_device.attack import METRICS, Attack
from tests.device.hostile_device.hostile_process import HostileProcess

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Act = Callable[[HostileProcess], object]

_FULL = (1 << 64) - 2  # what an eventfd's counter can hold at most
_LINE = "[ -~]*"  # printable, on one line
_SIGSYS_STATUS, _SIGSEGV_STATUS = 128 + 31, 128 + 11


def _noise(it: HostileProcess, target: Any) -> None:
    target[:] = it.seeded().randbytes(len(target))


def _box_noise(it: HostileProcess) -> None:
    _noise(it, it.box)


def _box_full(it: HostileProcess) -> None:
    it.box[:] = b"\xff" * len(it.box)


def _box_then_exit(fill: Act, status: int) -> Act:
    def act(it: HostileProcess) -> None:
        fill(it)
        os._exit(status)

    return act


def _log_noise(it: HostileProcess) -> None:
    for log in it.logs():
        _noise(it, log)
    os._exit(0)


def _used_noise(it: HostileProcess) -> None:
    for ring in it.used_rings():
        _noise(it, ring)
    os._exit(0)


def _completes_what_was_never_asked(it: HostileProcess) -> None:
    for ring in it.used_rings():
        idx = int.from_bytes(ring[2:4], "little")
        ring[4:] = b"\xff" * (len(ring) - 4)
        ring[2:4] = (idx + 1000 & 0xFFFF).to_bytes(2, "little")
    for fd in it.call_fds():
        _is_filled(fd)  # or has been before
    os._exit(0)


def _calls_without_end(it: HostileProcess) -> None:
    fds = it.call_fds()
    while True:
        for fd in fds:
            try:
                os.eventfd_write(fd, 1 << 40)
            except BlockingIOError:
                os.eventfd_read(fd)


def _full_calls(it: HostileProcess) -> None:
    for fd in it.call_fds():
        while not _is_filled(fd):
            os.eventfd_read(fd)
    os._exit(0)


def _is_filled(fd: int) -> bool:
    try:
        os.eventfd_write(fd, _FULL)
    except BlockingIOError:
        return False  # it has been called before
    return True


def _full_kicks(it: HostileProcess) -> None:
    for fd in it.kick_fds():
        os.eventfd_write(fd, _FULL - 1000)  # it blocks, and the driver may have kicked
    os._exit(0)


def _fcntl(command: int, argument: int | bytes) -> Act:
    def act(it: HostileProcess) -> None:
        fcntl.fcntl(it.kick_fds()[0], command, argument)
        it.be_silent()

    return act


def _refuses(name: str, act: Act, call: str) -> Attack:
    dies = rf"refused system call {call} \(\d+\) by the control thread at 0x[0-9a-f]+"
    return Attack(name, act, dies=dies)


_LOCK = bytes([0, 0]) + bytes(30)  # struct flock: F_RDLCK over the whole file

BLACK_BOX = (
    Attack("black box: noise, then its end", _box_then_exit(_box_noise, 0), dies=f"ended by itself{_LINE}"),
    Attack("black box: noise, a status of a refused call", _box_then_exit(_box_noise, _SIGSYS_STATUS),
           dies=f"(refused system call|died of|ended with status){_LINE}"),
    Attack("black box: all ones, a status of a refused call", _box_then_exit(_box_full, _SIGSYS_STATUS),
           dies=f"refused system call number 4294967295 by thread 4294967295 at 0xf+{_LINE}"),
    Attack("black box: all ones, a status of a fault", _box_then_exit(_box_full, _SIGSEGV_STATUS),
           dies=f"ended with status 139{_LINE}"),
    Attack("black box: all ones", _box_full),
    Attack("black box: noise", _box_noise),
)  # fmt: skip

SHARED = (
    Attack("in-flight log: noise, then its end", _log_noise, dies="ended by itself.*"),
    Attack("used rings: noise, then its end", _used_noise, dies="ended by itself.*"),
    Attack("completions of what was never asked for", _completes_what_was_never_asked,
           dies="ended by itself.*"),
    Attack("call eventfds full, then its end", _full_calls, dies="ended by itself.*"),
    Attack("kick eventfds full, then its end", _full_kicks, dies="ended by itself.*"),
    Attack("call eventfds without end, and silence", _calls_without_end, trigger=METRICS,
           dies="GET_METRICS not answered within .* s"),
    _refuses("flags of a kick eventfd", _fcntl(fcntl.F_SETFL, os.O_NONBLOCK), "fcntl"),
    _refuses("owner of a kick eventfd", _fcntl(fcntl.F_SETOWN, 1), "fcntl"),
    _refuses("a lock on a descriptor", _fcntl(37, _LOCK), "fcntl"),
    _refuses("the flags of its control socket", lambda it: it.socket.setblocking(True), "ioctl"),
)  # fmt: skip

# Without an end: what tools/bench qmp-latency measures beside.
CALLS = Attack("call eventfds without end", _calls_without_end)
