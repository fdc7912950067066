"""Time and processes as the supervisor sees them, simulated: waiting takes no time, and nobody is killed."""

from __future__ import annotations

import os
import posix
import select
import sys
import time
from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SUPERVISOR = "vmm_main.device_supervisor."
LOOP = "vmm_main.event_loop"


class SimulatedTime:
    """The module time, with a clock that only moves when somebody waits."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.before_it_passes: Callable[[], None] = lambda: None

    def monotonic(self) -> float:
        return self.now_s

    def time(self) -> float:
        return self.now_s

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


class _Epoll:
    """Waits for nothing: what isn't ready now won't be, so the time has passed."""

    def __init__(self, clock: SimulatedTime) -> None:
        self._epoll = select.epoll()
        self._clock = clock

    def poll(self, timeout_s: float | None = None) -> list[tuple[int, int]]:
        ready = self._epoll.poll(0)
        if not ready and timeout_s != 0:
            self._clock.before_it_passes()
            ready = self._epoll.poll(0)
        if not ready:
            assert timeout_s is not None, "main waits for ever"
            self._clock.now_s += timeout_s
        return ready

    def __getattr__(self, name: str) -> Any:
        return getattr(self._epoll, name)


class SimulatedProcess:
    """A pid whose life the input decides; its pidfd is an eventfd."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.status: tuple[int, int] | None = None  # si_code, si_status
        self._pidfds: list[int] = []

    def opened(self) -> int:
        fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._pidfds.append(fd)
        if self.status is not None:
            os.eventfd_write(fd, 1)
        return fd

    def owns(self, fd: int) -> bool:
        return fd in self._pidfds

    def forget(self, fd: int) -> None:
        if fd in self._pidfds:
            self._pidfds.remove(fd)

    def end(self, code: int, status: int) -> None:
        """Its end; what comes later changes nothing."""
        if self.status is None:
            self.status = code, status
            for fd in self._pidfds:
                os.eventfd_write(fd, 1)


class SimulatedKernel:
    """The modules posix and _signal, as far as they are about processes."""

    def __init__(self) -> None:
        self.processes: dict[int, SimulatedProcess] = {}
        self._next_pid = 1 << 20

    def make(self) -> SimulatedProcess:
        process = SimulatedProcess(self._next_pid)
        self.processes[self._next_pid] = process
        self._next_pid += 1
        return process

    def _behind(self, pidfd: int) -> SimulatedProcess:
        return next(process for process in self.processes.values() if process.owns(pidfd))

    def pidfd_open(self, pid: int) -> int:
        if pid not in self.processes:
            raise ProcessLookupError(3, "No such process")
        return self.processes[pid].opened()

    def pidfd_send_signal(self, pidfd: int, number: int) -> None:
        self._behind(pidfd).end(os.CLD_KILLED, int(number))

    def kill(self, pid: int, number: int) -> None:
        self.processes[pid].end(os.CLD_KILLED, int(number))

    def waitid(self, kind: int, pidfd: int, options: int) -> Any:
        assert kind == os.P_PIDFD
        process = self._behind(pidfd)
        if process.status is None:
            assert options & os.WNOHANG, "main waits for a process without a deadline"
            return None
        code, status = process.status
        if not options & os.WNOWAIT:
            del self.processes[process.pid]
        return posix.waitid_result((process.pid, 0, 17, status, code))

    def close(self, fd: int) -> None:
        for process in self.processes.values():
            process.forget(fd)
        posix.close(fd)

    def __getattr__(self, name: str) -> Any:
        return getattr(posix, name)


@contextmanager
def simulated_host() -> Iterator[tuple[SimulatedTime, SimulatedKernel]]:
    """The supervisor's modules, while it lasts, have this time and these processes."""
    clock, kernel = SimulatedTime(), SimulatedKernel()
    import _signal  # type: ignore[import-not-found]

    signals = SimpleNamespace(**{**vars(_signal), "pidfd_send_signal": kernel.pidfd_send_signal})
    epolls = SimpleNamespace(**{**vars(select), "epoll": lambda: _Epoll(clock)})
    replaced = {"time": clock, "os": kernel, "_signal": signals, "own_children": lambda: None}
    originals: list[tuple[Any, str, Any]] = []

    def replace(module: Any, attribute: str, simulated: Any) -> None:
        originals.append((module, attribute, getattr(module, attribute)))
        setattr(module, attribute, simulated)

    try:
        for name, module in list(sys.modules.items()):
            if name.startswith(SUPERVISOR):
                for attribute, simulated in replaced.items():
                    if hasattr(module, attribute):
                        replace(module, attribute, simulated)
        replace(sys.modules[LOOP], "select", epolls)
        replace(sys.modules[LOOP], "time", clock)
        yield clock, kernel
    finally:
        for module, attribute, original in originals:
            setattr(module, attribute, original)
