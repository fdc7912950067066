"""`tools/bench disk`: reads of a disk in the page cache, through Bulkhead's device and qemu-storage-daemon's.

Both are driven by the same fake driver, in C. Runs in Bulkhead's own environment, for it drives the real
device.
"""

from __future__ import annotations

import os
import platform
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from tools.benchmarks.disk_peer import DiskPeer, DiskPeerError, DriverSide, StorageDaemon
from tools.benchmarks.native_disk import NativeDisk
from tools.benchmarks.placement import Placement, driver_at, placements
from tools.fake_driver.block_reads import BlockReads, Pattern
from tools.fake_driver.driver_queue import DriverError
from tools.setup.host_kind import host_kind

NATIVE = NativeDisk.name
BUDGET = 1.0
STATUS_OVER_BUDGET = 1
STATUS_NOT_MEASURED = 2
DISK_BYTES = 256 << 20
_CHUNK = 1 << 20
_HANGS_AFTER_S = 60


@dataclass(frozen=True)
class Workload:
    """What is read.

    Attributes:
        name: For people.
        block_bytes: By each request.
        depth: Requests in flight.
        sequential: From the disk's beginning on; else at random.
        share: How many requests a round has, of those of the budgeted workload.
        budgeted: Whether the budget is about it.
    """

    name: str
    block_bytes: int
    depth: int
    sequential: bool
    share: float
    budgeted: bool


WORKLOADS = (
    Workload("4 KiB random, depth 1", 4096, 1, sequential=False, share=0.1, budgeted=False),
    Workload("4 KiB random, depth 32", 4096, 32, sequential=False, share=1.0, budgeted=True),
    Workload("128 KiB sequential, depth 4", 128 << 10, 4, sequential=True, share=0.1, budgeted=False),
)


@dataclass(frozen=True)
class Sample:
    """One peer, one workload, one round.

    Attributes:
        rate: Requests in a second.
        device_us: CPU time per request of the process that serves the disk, all threads, in us.
        driver_us: The same of the driver's process.
    """

    rate: float
    device_us: float
    driver_us: float


class DiskBenchError(Exception):
    """What was measured can't be believed; the text says why."""


# By workload's name and peer's name.
Samples = dict[tuple[str, str], list[Sample]]


@contextmanager
def known_disk() -> Iterator[Path]:
    """A disk of random bytes, which are in the page cache and on the medium."""
    with tempfile.TemporaryDirectory(prefix="bulkhead-bench-") as directory:
        path = Path(directory) / "disk"
        with path.open("wb") as disk:
            for _ in range(DISK_BYTES // _CHUNK):
                disk.write(os.urandom(_CHUNK))
            disk.flush()
            os.fsync(disk.fileno())
        yield path


def measure(
    peer: DiskPeer, disk: Path, cpus: set[int], count: int, seed: int
) -> Iterator[tuple[Workload, Sample]]:
    """Starts a peer, has it serve each workload once, and gives the samples.

    Args:
        peer: Who serves the disk.
        disk: The image.
        cpus: Where the peer runs.
        count: Requests of the budgeted workload.
        seed: Of the random numbers, not 0.

    Raises:
        DiskPeerError, DriverError, TimeoutError: It doesn't work.
        DiskBenchError: The data is wrong.
    """
    driver = DriverSide()
    try:
        with peer.serving(disk, driver, cpus) as pid:
            for load in WORKLOADS:
                pattern = Pattern(load.block_bytes, load.depth, None if load.sequential else seed)
                reads = BlockReads(driver.ram, driver.queue, DISK_BYTES, pattern)
                requests = max(int(count * load.share), load.depth)
                reads.run(max(requests // 10, load.depth), _HANGS_AFTER_S)
                check_data(peer.name, disk, reads)
                yield load, _timed(reads, requests, pid)
                check_data(peer.name, disk, reads)
    finally:
        driver.close()


def _timed(reads: BlockReads, requests: int, pid: int) -> Sample:
    device_clock = _cpu_clock_of(pid)
    device, own, start = time.clock_gettime(device_clock), time.process_time(), time.monotonic()
    reads.run(requests, _HANGS_AFTER_S)
    end, own_end, device_end = time.monotonic(), time.process_time(), time.clock_gettime(device_clock)
    return Sample(
        requests / (end - start), (device_end - device) / requests * 1e6, (own_end - own) / requests * 1e6
    )


def _cpu_clock_of(pid: int) -> int:
    """The clock of a process's CPU time, threads that have ended included (clock_getcpuclockid(3))."""
    return (~pid << 3) | 2


def check_data(name: str, disk: Path, reads: BlockReads) -> None:
    """Compares what is in every buffer with the disk's content.

    Raises:
        DiskBenchError: It differs.
    """
    with disk.open("rb") as image:
        for offset, content in reads.held():
            if os.pread(image.fileno(), len(content), offset) != content:
                raise DiskBenchError(f"{name}: what was read at {offset} isn't what the disk has there")


def measure_placement(
    peers: Sequence[DiskPeer], disk: Path, placement: Placement, rounds: int, count: int
) -> Samples:
    """Measures all peers by turns, each round beginning with another one."""
    samples: Samples = {(load.name, peer.name): [] for load in WORKLOADS for peer in peers}
    with driver_at(placement):
        for number in range(rounds):
            first = number % len(peers)
            for peer in [*peers[first:], *peers[:first]]:
                for load, sample in measure(peer, disk, placement[1], count, number + 1):
                    samples[load.name, peer.name].append(sample)
    return samples


def print_samples(samples: Samples) -> None:
    """Every round's figures."""
    for (load, peer), runs in samples.items():
        print(f"  {load}, {peer}, raw: requests/s: {' '.join(f'{run.rate:.0f}' for run in runs)}")
        print(f"    CPU us per request, device: {' '.join(f'{run.device_us:.2f}' for run in runs)}")
        print(f"    CPU us per request, driver: {' '.join(f'{run.driver_us:.2f}' for run in runs)}")


def median_rates(samples: Samples, load: Workload) -> dict[str, float]:
    """Each peer's median rate for a workload."""
    return {
        peer: median(run.rate for run in runs) for (name, peer), runs in samples.items() if name == load.name
    }


def table(samples: Samples) -> list[str]:
    """A row for each workload and peer: medians, and the ratio to the fastest of QEMU's."""
    rows: list[tuple[str, ...]] = [("", "peer", "requests/s", "ratio", "MiB/s", "device CPU", "driver CPU")]
    for load in WORKLOADS:
        rates = median_rates(samples, load)
        base = rates[fastest_other(rates)]
        for peer, rate in rates.items():
            runs = samples[load.name, peer]
            cpu = [median(run.device_us for run in runs), median(run.driver_us for run in runs)]
            mib = rate * load.block_bytes / (1 << 20)
            sizes = (f"{rate:.0f}", f"{rate / base:.3f}", f"{mib:.0f}", *(f"{each:.2f} us" for each in cpu))
            rows.append((load.name, peer, *sizes))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def fastest_other(rates: Mapping[str, float]) -> str:
    """The fastest peer beside Bulkhead."""
    return max((name for name in rates if name != NATIVE), key=lambda name: rates[name])


def budget_kept(where: str, samples: Samples) -> bool:
    """Prints whether Bulkhead is as fast as the faster of QEMU's, and returns it."""
    (load,) = [load for load in WORKLOADS if load.budgeted]
    rates = median_rates(samples, load)
    other = fastest_other(rates)
    ratio = rates[NATIVE] / rates[other]
    kept = ratio >= BUDGET
    verdict = "within budget" if kept else "OVER BUDGET"
    print(f"budget: disk, {where}, {load.name}: {ratio:.3f} x {other}'s rate, at least {BUDGET:g}: {verdict}")
    return kept


def peers() -> list[DiskPeer]:
    """Who is measured."""
    daemon = "qemu-storage-daemon"
    return [NativeDisk(), StorageDaemon(daemon, "threads"), StorageDaemon(daemon, "io_uring")]


def main(rounds: int, count: int) -> int:
    """Measures every placement; returns the exit status."""
    load = ", ".join(f"{each:.2f}" for each in os.getloadavg())
    print(f"host: {host_kind().sentence}")
    print(f"  {platform.system()} {platform.release()}, {os.cpu_count()} CPUs, load {load}")
    measured = peers()
    statuses = []
    try:
        for peer in measured:
            for line in peer.description():
                print(f"{peer.name}: {line}")
        with known_disk() as disk:
            for where, placement in placements().items():
                print(f"\n{where}, {rounds} rounds, {count} requests of depth 32 in each", flush=True)
                samples = measure_placement(measured, disk, placement, rounds, count)
                print_samples(samples)
                print("medians, and ratios to the faster of QEMU's")
                print("\n".join(table(samples)))
                statuses.append(budget_kept(where, samples))
    except (DiskPeerError, DiskBenchError, DriverError, OSError) as error:
        print(f"tools/bench: {error}", file=sys.stderr)
        return STATUS_NOT_MEASURED
    return 0 if all(statuses) else STATUS_OVER_BUDGET


if __name__ == "__main__":
    signal.alarm(_HANGS_AFTER_S * int(sys.argv[1]))
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])))
