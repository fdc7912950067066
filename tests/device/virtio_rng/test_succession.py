"""A device killed under load, and its successor on the same rings: nothing is lost, nothing comes twice."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from statistics import median

import pytest

from device_procs.device_runtime.device import RING_FEATURES
from tests.device.device_rig import HANGS_AFTER_S, DeviceRig
from tests.device.virtio_rng.conftest import NO_LIMIT, StartRng
from tools.fake_driver.driver_queue import DriverError

LENGTH = 64
DEPTH = 32


class Load:
    """A driver that keeps requests with the device, in a thread of its own, until told to stop."""

    def __init__(self, device: DeviceRig) -> None:
        self.device = device
        self.requests = 0
        self.error: BaseException | None = None
        self._stops = False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            while not self._stops:
                # Each chain must come back exactly once, or the driver says so.
                got = self.device.queues[0].run(5000, DEPTH, HANGS_AFTER_S)
                assert got == 5000 * LENGTH
                self.requests += 5000
        except BaseException as error:  # noqa: BLE001 (told in finish(), by the test's own thread)
            self.error = error

    def finish(self) -> None:
        self._stops = True
        self._thread.join()
        if self.error is not None:
            raise self.error


def wait_for_completions(device: DeviceRig, count: int) -> None:
    """Waits until this process has completed so many."""
    expires = time.monotonic() + HANGS_AFTER_S
    while device.black_box.page.queues[0].completed < count:
        assert time.monotonic() < expires, "the device makes no progress"


def take_over(device: DeviceRig) -> None:
    """What main does after a death: the same rings, from where the used ring is."""
    device.start_successor()
    device.expect("BIRTH_CERTIFICATE")
    source = os.open("/dev/urandom", os.O_RDONLY | os.O_NONBLOCK)
    device.configure(NO_LIMIT, (source,))
    os.close(source)
    device.expect("READY")
    device.run_queue(0, RING_FEATURES, base=None)


def test_sigkill_under_load(start_rng: StartRng, repetitions: Callable[[int], int]) -> None:
    kills, hits, outages = repetitions(50), 0, []
    with start_rng() as device:
        device.run_queue(0, RING_FEATURES)
        device.queues[0].fill(LENGTH)
        load = Load(device)
        try:
            for _ in range(kills):
                wait_for_completions(device, 50)
                os.kill(device.pid, signal.SIGKILL)
                killed = time.monotonic()
                assert device.wait_for_end() == -signal.SIGKILL
                queue = device.queues[0]
                hits += queue.avail_idx != queue.used_idx
                take_over(device)
                wait_for_completions(device, 1)
                outages.append(time.monotonic() - killed)
        finally:
            load.finish()
        assert load.requests > 0
    outage_ms = median(outages) * 1000
    print(f"{kills} kills, {hits} with requests in flight; median outage {outage_ms:.1f} ms")
    assert hits > 0


def test_doorbells_wait_for_the_successor(start_rng: StartRng) -> None:
    with start_rng() as device:
        device.run_queue(0, RING_FEATURES)
        queue = device.queues[0]
        queue.fill(LENGTH)
        queue.run(10, 1, HANGS_AFTER_S)
        os.kill(device.pid, signal.SIGKILL)
        device.wait_for_end()
        queue.offer(5, 6)  # rung while nobody is there
        take_over(device)
        assert queue.wait(HANGS_AFTER_S) == (5, LENGTH)
        assert queue.wait(HANGS_AFTER_S) == (6, LENGTH)


def test_a_completion_without_its_signal_is_made_good(start_rng: StartRng) -> None:
    """A process may die between a used entry and its call: its successor calls, with nothing else to do."""
    with start_rng() as device:
        device.run_queue(0, RING_FEATURES)
        queue = device.queues[0]
        queue.fill(LENGTH)
        queue.run(10, 1, HANGS_AFTER_S)
        os.kill(device.pid, signal.SIGKILL)
        device.wait_for_end()
        queue.offer(5)
        queue.pretend_completed(5, LENGTH)  # as the dead process had done, but for the call
        take_over(device)
        assert queue.wait_for_call(HANGS_AFTER_S)
        assert queue.take() == (5, LENGTH)


def test_a_device_that_completes_twice_would_be_seen(start_rng: StartRng) -> None:
    """The driver's check itself: a used entry for a chain that the device doesn't have."""
    with start_rng() as device:
        device.run_queue(0, RING_FEATURES)
        queue = device.queues[0]
        queue.fill(LENGTH)
        queue.offer(5)
        assert queue.wait(HANGS_AFTER_S) == (5, LENGTH)
        device.request("RESET_DEVICE", "RESET_DONE")
        queue.pretend_completed(5, LENGTH)
        with pytest.raises(DriverError, match="a chain that it didn't have"):
            queue.take()
