"""A driver that keeps requests with a device while a test does something to that device."""

from __future__ import annotations

import threading
import time
from types import TracebackType

from tests.device.supervised_vm import HANGS_AFTER_S, SupervisedVm
from tools.fake_driver.driver_queue import DriverQueue

LENGTH = 64
DEPTH = 32
_BATCH = 500


class DriverLoad:
    """Requests from a thread of its own until the end of a `with`; each must come back once, and whole."""

    def __init__(self, vm: SupervisedVm, number: int = 0) -> None:
        """Takes a device whose rings are filled."""
        self.queue: DriverQueue = vm.transports[number].queues[0]
        self.batches = 0
        self._error: BaseException | None = None
        self._changed = threading.Condition()
        self._stops = False
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> DriverLoad:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stops = True
        self._thread.join()
        if self._error is not None and error is None:
            raise self._error

    def _run(self) -> None:
        try:
            while not self._stops:
                assert self.queue.run(_BATCH, DEPTH, HANGS_AFTER_S) == _BATCH * LENGTH
                with self._changed:
                    self.batches += 1
                    self._changed.notify_all()
        except BaseException as error:  # noqa: BLE001 (raised again in the test's thread)
            self._error = error
            with self._changed:
                self._changed.notify_all()

    def wait_for_progress(self) -> None:
        """Waits until the driver has been given much more than what was under way."""
        with self._changed:
            wanted = self.batches + 2
            done = self._changed.wait_for(lambda: self._error or self.batches >= wanted, HANGS_AFTER_S)
        if self._error is not None:
            raise self._error
        assert done, "the device makes no progress"

    def wait_for_requests(self) -> None:
        """The same, and until the device has some of the next ones: a batch has just ended when it tells."""
        self.wait_for_progress()
        expires = time.monotonic() + HANGS_AFTER_S
        while self.in_flight == 0:
            assert time.monotonic() < expires, "the driver offers nothing"

    @property
    def in_flight(self) -> int:
        """How many requests the device has."""
        return (self.queue.avail_idx - self.queue.used_idx) % 65536
