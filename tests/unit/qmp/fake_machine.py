"""A machine without a VM, on a real event loop in a thread of its own, with real QMP monitors."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Any, TypeVar

from vmm_main.errors import BulkheadError
from vmm_main.event_loop import EventLoop
from vmm_main.qmp.limits import QmpLimits
from vmm_main.qmp.listener import QmpMonitors
from vmm_main.vm_config import ChardevConfig, VmConfig

if TYPE_CHECKING:
    from collections.abc import Callable

    from vmm_main.chardev.backend import ChardevBackend

_T = TypeVar("_T")
DEADLINE_S = 60.0


class FakeMachine:
    """Keeps the states and emits the events that the real one does."""

    def __init__(self, loop: EventLoop) -> None:
        self.config = VmConfig()
        self.config.name = "fake"
        self.loop = loop
        self.status = "running"
        self.supervisor = None
        self.guest_memory_fd = 0  # some open descriptor: nothing is kept there
        self.boot_files: list[tuple[str, int]] = []
        self.chardevs: dict[str, ChardevBackend] = {}
        self.quit_asked = threading.Event()
        self._listeners: list[Callable[[str, dict[str, Any]], None]] = []

    def stop(self) -> None:
        if self.status != "running":
            raise BulkheadError("The VM is not running")
        self.status = "paused"
        self.emit("STOP", {})

    def cont(self) -> None:
        if self.status == "running":
            raise BulkheadError("The VM is running already")
        self.status = "running"
        self.supervisor = None
        self.emit("RESUME", {})

    def system_reset(self) -> None:
        self.emit("RESET", {"guest": False, "reason": "host-qmp-system-reset"})

    def system_powerdown(self) -> None:
        self.emit("POWERDOWN", {})

    def quit(self) -> None:
        self.emit("SHUTDOWN", {"guest": False, "reason": "host-qmp-quit"})
        self.quit_asked.set()

    def vcpu_thread_ids(self) -> list[int]:
        return [os.getpid(), os.getpid() + 1]

    def add_event_listener(self, listener: Callable[[str, dict[str, Any]], None]) -> None:
        self._listeners.append(listener)

    def emit(self, name: str, data: dict[str, Any]) -> None:
        for listener in self._listeners:
            listener(name, data)


class RunningMonitors:
    """QMP monitors at work; the test's thread is the client's side."""

    def __init__(self, limits: QmpLimits | None = None) -> None:
        self.loop = EventLoop()
        self.machine = FakeMachine(self.loop)
        self.monitors = QmpMonitors(limits)
        self.failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def listen(self, path: str, chardev_id: str = "qmp0") -> None:
        self.monitors.listen(ChardevConfig(chardev_id, "socket", path=path, server=True, nowait=True))

    def start(self) -> None:
        self.monitors.start(self.machine)
        self._thread.start()

    def on_loop(self, call: Callable[[], _T]) -> _T:
        """Runs call on the loop's thread and returns what it returned: so the loop is alive, too."""
        done = threading.Event()
        results: list[_T] = []

        def run() -> None:
            try:
                results.append(call())
            finally:
                done.set()

        self.loop.call_soon(run)
        assert done.wait(DEADLINE_S), f"the event loop doesn't answer: {self.failure!r}"
        return results[0]

    def wait_for_sessions(self, count: int) -> None:
        """Waits until so many are left: the server hears of a client that leaves when it gets to it."""
        expires = time.monotonic() + DEADLINE_S
        while (there := self.on_loop(lambda: len(self.monitors.server().sessions))) != count:
            assert time.monotonic() < expires, f"{there} sessions, not {count}"

    def quit_soon(self) -> None:
        """Closes the monitors from within the loop, as at the end of the process, and doesn't wait for it."""
        self.loop.call_soon(self.monitors.close)

    def stop(self) -> None:
        if self._thread.is_alive():
            self.on_loop(self.monitors.close)
            self.loop.call_soon(self.loop.stop)
            self._thread.join(DEADLINE_S)
            assert not self._thread.is_alive()
        else:
            self.monitors.close()
        self.loop.close()
        assert self.failure is None, f"the event loop ended by {self.failure!r}"

    def _run(self) -> None:
        try:
            self.loop.run()
        except BaseException as error:  # noqa: BLE001  (any end of the loop is the test's failure)
            self.failure = error
