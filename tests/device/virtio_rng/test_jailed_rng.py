"""virtio-rng in its jail, driven by the fake driver through real rings: what guest and operator would see."""

from __future__ import annotations

import os
import signal
import time

from device_procs.device_runtime.control_thread import STATUS_MAIN_GONE
from device_procs.device_runtime.device import RING_FEATURES
from tests.device.device_rig import HANGS_AFTER_S
from tests.device.virtio_rng.conftest import StartRng, control_thread_switches


def test_the_driver_gets_random_bytes(start_rng: StartRng) -> None:
    with start_rng() as device:
        device.run_queue(0, RING_FEATURES)
        queue = device.queues[0]
        queue.fill(64)
        answers = set()
        for _ in range(20):
            queue.offer(9)
            assert queue.wait(HANGS_AFTER_S) == (9, 64)
            answers.add(device.ram.read(queue.buffers_gpa + 9 * 64, 64))
        assert len(answers) == 20
        assert device.request("GET_METRICS", "METRICS")["bytes"] == 20 * 64


def test_what_the_driver_gets_is_what_the_device_counts(start_rng: StartRng) -> None:
    with start_rng() as device:
        device.run_queue(0, RING_FEATURES)
        device.queues[0].fill(64)
        assert device.queues[0].run(20000, 32, HANGS_AFTER_S) == 20000 * 64
        metrics = device.request("GET_METRICS", "METRICS")
        assert (metrics["requests"], metrics["bytes"]) == (20000, 20000 * 64)


def test_no_python_runs_for_requests(start_rng: StartRng) -> None:
    """By the black box's counter, and by the kernel's: the control thread isn't even woken."""
    with start_rng() as device:
        device.run_queue(0, RING_FEATURES)
        queue, page = device.queues[0], device.black_box.page
        queue.fill(64)
        queue.run(10, 2, HANGS_AFTER_S)
        device.request("GET_METRICS", "METRICS")  # it has read all that it was told, and waits again soon
        calls, switches = page.python_calls, _settled_switches(device.pid)
        queue.run(1000, 16, HANGS_AFTER_S)
        assert (page.python_calls, control_thread_switches(device.pid)) == (calls, switches)
        queue.offer(64)  # malformed: this is Python's to tell, and both counters count it
        device.expect("NEEDS_RESET")
        assert page.python_calls == calls + 1
        assert control_thread_switches(device.pid) > switches


def _settled_switches(pid: int) -> int:
    """The control thread's switches once it sleeps in poll()."""
    expires = time.monotonic() + HANGS_AFTER_S
    while time.monotonic() < expires:
        with open(f"/proc/{pid}/task/{pid}/stat", encoding="utf-8") as stat:
            if stat.read().rpartition(")")[2].split()[0] == "S":
                return control_thread_switches(pid)
    raise AssertionError("the control thread never sleeps")


def test_the_average_rate_holds(start_rng: StartRng) -> None:
    """-5 to +0 %, plus one bucket, of 200,000 bytes a second.

    Requests for an eighth of a second are waiting at a time, and the bucket holds a tenth: a test that isn't
    scheduled for that long costs the device nothing.
    """
    max_bytes, period_ms, requests, length = 20000, 100, 1200, 400
    with start_rng(config={"max_bytes": max_bytes, "period_ms": period_ms}) as device:
        device.run_queue(0, RING_FEATURES)
        device.queues[0].fill(length)
        begun = time.monotonic()
        got = device.queues[0].run(requests, 64, HANGS_AFTER_S)
        took_s = time.monotonic() - begun
        assert got == requests * length
        allowed = max_bytes * took_s * 1000 / period_ms
        assert 0.95 * allowed <= got <= allowed + max_bytes
        assert device.request("GET_METRICS", "METRICS")["rate_waits"] > 0


def test_a_silent_source_holds_up_nothing_but_its_requests(start_rng: StartRng) -> None:
    reader, writer = os.pipe()
    with start_rng(reader) as device:
        device.run_queue(0, RING_FEATURES)
        queue = device.queues[0]
        queue.fill(64)
        queue.offer(3, 4)
        assert device.request("QUIESCE", "QUIESCED") == {"bases": [0]}
        assert queue.take() is None
        device.send("SET_VRING_ENABLE", index=0, enable=True)
        os.write(writer, b"x" * 70)
        assert queue.wait(HANGS_AFTER_S) == (3, 64)
        assert queue.wait(HANGS_AFTER_S) == (4, 6)
    os.close(reader)
    os.close(writer)


def test_stopped_and_continued_by_a_signal(start_rng: StartRng) -> None:
    """The kernel restarts interrupted waits by a system call of its own, which must be allowed too."""
    with start_rng(config={"max_bytes": 64, "period_ms": 100}) as device:
        device.run_queue(0, RING_FEATURES)
        device.queues[0].fill(64)
        for _ in range(3):
            device.queues[0].offer(0, 1)  # the second waits for the rate
            os.kill(device.pid, signal.SIGSTOP)
            os.waitid(os.P_PIDFD, device.pidfd, os.WSTOPPED)
            os.kill(device.pid, signal.SIGCONT)
            assert device.queues[0].wait(HANGS_AFTER_S)[0] == 0
            assert device.queues[0].wait(HANGS_AFTER_S)[0] == 1
            device.request("GET_METRICS", "METRICS")


def test_a_mistake_is_told_and_a_reset_heals(start_rng: StartRng) -> None:
    with start_rng() as device:
        queue = device.queues[0]
        for _ in range(5):
            device.run_queue(0, RING_FEATURES)
            queue.fill(64)
            assert queue.run(100, 8, HANGS_AFTER_S) == 6400
            queue.set_descriptor(0, 1 << 50, 64, 2)
            queue.offer(0)
            reason = "queue 0: a descriptor's buffer isn't in RAM"
            assert device.expect("NEEDS_RESET") == {"reason": reason}
            device.request("RESET_DEVICE", "RESET_DONE")
            queue.reset()


def test_the_end_of_main_is_its_end(start_rng: StartRng) -> None:
    with start_rng() as device:
        device.run_queue(0, RING_FEATURES)
        device.queues[0].fill(64)
        device.queues[0].run(100, 8, HANGS_AFTER_S)
        device.channel.close()
        assert device.wait_for_end() == STATUS_MAIN_GONE
