"""`tools/bench doorbell`: kick written to call readable, through a null queue and by a bare ping-pong.

Both ends are host processes, in C. Runs in Bulkhead's own environment, for it drives the real worker.
"""

from __future__ import annotations

import os
import platform
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median, quantiles

from tools.benchmarks import null_queue
from tools.benchmarks.placement import Placement, driver_at, placements
from tools.fake_driver.extension import ffi, lib
from tools.fake_driver.guest_ram import GuestRam
from tools.setup.host_kind import host_kind

BUDGET = 1.3
STATUS_OVER_BUDGET = 1
STATUS_NOT_MEASURED = 2
_WARM_UP = 200
_HANGS_AFTER_S = 60

Measure = Callable[[int], list[int]]


class DoorbellError(Exception):
    """It couldn't be measured."""


@contextmanager
def _process(cpus: set[int], run: Callable[[], None]) -> Iterator[None]:
    """Runs a function in a forked process, which is killed at the end, or dies by itself after a while."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            signal.alarm(_HANGS_AFTER_S)
            os.sched_setaffinity(0, cpus)
            run()
            status = 0
        except Exception as error:  # noqa: BLE001 (the end of the process: it is printed)
            print(f"tools/bench: {error}", file=sys.stderr, flush=True)
        finally:
            os._exit(status)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def ping_pong(count: int, placement: Placement) -> list[int]:
    """The times of a bare ping-pong by two eventfds, in ns."""
    kick_fd, call_fd = os.eventfd(0, os.EFD_CLOEXEC), os.eventfd(0, os.EFD_CLOEXEC)
    try:
        total = _WARM_UP + count
        with _process(placement[1], lambda: _check(lib.ping_pong_answer(kick_fd, call_fd, total))):
            samples = ffi.new("uint64_t[]", total)
            _check(lib.ping_pong_ask(kick_fd, call_fd, samples, total))
            return list(samples)[_WARM_UP:]
    finally:
        os.close(kick_fd)
        os.close(call_fd)


def through_queue(count: int, placement: Placement) -> list[int]:
    """The times of requests through a null queue, in ns."""
    kick_fd, call_fd = os.eventfd(0, os.EFD_CLOEXEC), os.eventfd(0, os.EFD_CLOEXEC)
    ram = GuestRam(null_queue.RAM_BYTES)
    try:
        with _process(placement[1], lambda: null_queue.serve(ram, kick_fd, call_fd)):
            queue = null_queue.new_queue(ram, kick_fd, call_fd)
            queue.fill(64)
            return queue.doorbells(_WARM_UP + count)[_WARM_UP:]
    finally:
        ram.close()
        os.close(kick_fd)
        os.close(call_fd)


def _check(result: int) -> None:
    if result < 0:
        raise DoorbellError(os.strerror(-result))


def measure_placement(name: str, placement: Placement, rounds: int, count: int) -> bool:
    """Measures both by turns, prints it, and returns whether the budget is kept."""
    bare: list[list[int]] = []
    queue: list[list[int]] = []
    with driver_at(placement):
        for number in range(rounds):
            turns = [(bare, ping_pong), (queue, through_queue)]
            for samples, measure in turns if number % 2 == 0 else reversed(turns):
                samples.append(measure(count, placement))
    print(f"\n{name}, {rounds} rounds of {count}; raw: each round's median in us")
    for what, samples in (("ping-pong", bare), ("null queue", queue)):
        ninety_ninth = median(quantiles(each, n=100)[98] for each in samples) / 1000
        print(f"  {what:10}  {' '.join(f'{median(each) / 1000:.2f}' for each in samples)}")
        print(f"  {'':10}  99 % within {ninety_ninth:.2f}")
    ratio = median(map(median, queue)) / median(map(median, bare))
    kept = ratio <= BUDGET
    verdict = "within budget" if kept else "OVER BUDGET"
    print(f"budget: doorbell, {name}: {ratio:.3f} x a bare ping-pong, at most {BUDGET:g}: {verdict}")
    return kept


def main(rounds: int, count: int) -> int:
    """Measures every placement; returns the exit status."""
    load = ", ".join(f"{each:.2f}" for each in os.getloadavg())
    print(f"host: {host_kind().sentence}")
    print(f"  {platform.system()} {platform.release()}, {os.cpu_count()} CPUs, load {load}")
    print("ping-pong: two C processes, a blocking eventfd each way")
    print("null queue: the fake driver in C, and a device's worker under its filter; split ring, EVENT_IDX")
    try:
        kept = [measure_placement(name, where, rounds, count) for name, where in placements().items()]
    except (DoorbellError, OSError) as error:
        print(f"tools/bench: {error}", file=sys.stderr)
        return STATUS_NOT_MEASURED
    return 0 if all(kept) else STATUS_OVER_BUDGET


if __name__ == "__main__":
    signal.alarm(_HANGS_AFTER_S * int(sys.argv[1]))
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])))
