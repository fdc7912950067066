"""The devices beside a hostile one: a disk and an rng, whose I/O is checked all along."""

from __future__ import annotations

import random
import threading
from types import TracebackType

from tests.device.virtio_blk.disk_load import BLOCK_BYTES, DiskLoad
from tools.fake_driver.disk_driver import DiskDriver
from tools.fake_driver.driver_queue import DriverQueue
from tools.fake_driver.guest_ram import GuestRam

HANGS_AFTER_S = 30.0
RNG_LENGTH = 64
BLOCKS = 64
_DEPTH = 4
# Between two turns: a driver that is never idle would have a CPU for itself.
_PAUSE_S = 0.002


class Neighbours:
    """Drivers of a disk and of an rng on a thread of their own until the end of a `with`."""

    def __init__(self, ram: GuestRam, disk: DriverQueue, rng: DriverQueue) -> None:
        """The rng's source is zeroes."""
        self._ram = ram
        self._disk_driver = DiskDriver(ram, disk, data_bytes=BLOCK_BYTES)
        self.disk = DiskLoad(self._disk_driver, range(BLOCKS), _DEPTH, random.randrange(1 << 32))
        self.rng = rng
        self.turns = 0
        self._stops = threading.Event()
        self._changed = threading.Condition()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Neighbours:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stops.set()
        self._thread.join()
        if self._error is not None and error is None:
            raise self._error

    def _run(self) -> None:
        try:
            while not self._stops.wait(_PAUSE_S):
                self._turn()
                with self._changed:
                    self.turns += 1
                    self._changed.notify_all()
            self._drain()
        except BaseException as error:  # noqa: BLE001 (raised again in the test's thread)
            with self._changed:
                self._error = error
                self._changed.notify_all()

    def _turn(self) -> None:
        self.disk.top_up()
        while self.disk.take() == 0:
            if not self.disk.queue.ask_for_call():
                assert self.disk.queue.wait_for_call(HANGS_AFTER_S), "the disk is silent"
        # What it writes over is known: it must all be zeroes afterwards, and nothing behind it.
        buffer = self.rng.buffers_gpa
        room = 8 * RNG_LENGTH
        self._ram.write(buffer, b"\xa5" * (room + RNG_LENGTH))
        assert self.rng.run(8, 4, HANGS_AFTER_S) == room
        assert self._ram.read(buffer + room, RNG_LENGTH) == b"\xa5" * RNG_LENGTH, "the rng wrote too far"

    def _drain(self) -> None:
        while self.disk.in_flight:
            if self.disk.take() == 0 and not self.disk.queue.ask_for_call():
                assert self.disk.queue.wait_for_call(HANGS_AFTER_S), "the disk is silent"

    def wait_for_turns(self, more: int = 2) -> None:
        """Waits until each has done that much more, and nothing of it was wrong."""
        with self._changed:
            wanted = self.turns + more
            done = self._changed.wait_for(
                lambda: self._error is not None or self.turns >= wanted, HANGS_AFTER_S
            )
        if self._error is not None:
            raise self._error
        assert done, "the neighbours make no progress"
