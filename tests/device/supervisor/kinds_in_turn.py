"""Has a device's next process be of another kind, once."""

from __future__ import annotations

import select
import time
from typing import Any

from tests.device.supervised_vm import HANGS_AFTER_S, SupervisedVm

# For a zygote that is to have the kinds of staged_kinds.py.
KINDS_OPTION = ("-X", "bulkhead_extra_kinds=tests.device.supervisor.staged_kinds")


class KindsInTurn:
    """Takes the place of a device's description, and names other kinds for its next processes, each once."""

    def __init__(self, vm: SupervisedVm) -> None:
        self._vm = vm
        self._module: Any = vm.device().module
        self.coming: list[str] = []
        vm.device().module = self  # type: ignore[assignment]

    @property
    def kind(self) -> Any:
        return self.coming.pop(0) if self.coming else self._module.kind

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)

    def restart_as(self, kind: str) -> None:
        """Has the operator restart the device; its next process is of that kind."""

        def restart() -> None:
            self.coming.append(kind)
            self._vm.device().restart()

        self._vm.call(restart)

    def wait_at(self, stage: int, old_pid: int) -> Any:
        """Waits for the next process to show the stage that it goes no further than."""
        expires = time.monotonic() + HANGS_AFTER_S
        while time.monotonic() < expires:
            process = self._vm.call(lambda: self._vm.device().process)
            if (
                process is not None
                and process.pid not in (None, old_pid)
                and process.black_box.stage == stage
            ):
                return process
            select.select([], [], [], 0.001)  # a page has no event to wait for
        state = self._vm.call(lambda: self._vm.device().state)
        reached = (state, process and process.pid, process and process.black_box.stage)
        raise AssertionError(f"no process comes to stage {stage}: {reached}, {self._vm.events}")
