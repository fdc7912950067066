"""`tools/bench disk`: it measures real processes, believes no wrong data, says when the budget is broken."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tools.benchmarks import disk
from tools.benchmarks.disk import NATIVE, WORKLOADS, DiskBenchError, Sample, check_data, measure, table
from tools.benchmarks.disk_peer import DiskPeer, DiskPeerError, DriverSide, StorageDaemon
from tools.benchmarks.native_disk import NativeDisk
from tools.benchmarks.placement import placements
from tools.fake_driver.block_reads import BlockReads, Pattern

DISK_BYTES = 1 << 20
HANGS_AFTER_S = 30
DEPTH_1, DEPTH_32, SEQUENTIAL = (load.name for load in WORKLOADS)

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(autouse=True)
def small_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk of a mebibyte suffices here."""
    monkeypatch.setattr(disk, "DISK_BYTES", DISK_BYTES)


def test_all_peers_are_measured_in_every_placement(capfd: pytest.CaptureFixture[str]) -> None:
    status = disk.main(2, 400)
    said = capfd.readouterr().out
    assert status in (0, disk.STATUS_OVER_BUDGET), said
    assert "qemu-threads: qemu-storage-daemon version" in said
    assert "bulkhead: Bulkhead " in said
    budgets = [line for line in said.splitlines() if line.startswith("budget: ")]
    assert len(budgets) == len(placements())
    assert all(line.endswith(": within budget") for line in budgets) == (status == 0)
    for load in WORKLOADS:
        for peer in (NATIVE, "qemu-threads", "qemu-io_uring"):
            raw = re.findall(rf"{load.name}, {peer}, raw: requests/s: (\d+) (\d+)$", said, re.MULTILINE)
            assert len(raw) == len(placements())
            assert all(float(rate) > 0 for pair in raw for rate in pair)


def test_bulkheads_disk_serves_what_the_disk_has(tmp_path: Path) -> None:
    image = tmp_path / "disk"
    image.write_bytes(os.urandom(DISK_BYTES))
    driver = DriverSide()
    try:
        with NativeDisk().serving(image, driver, os.sched_getaffinity(0)) as pid:
            reads = BlockReads(driver.ram, driver.queue, DISK_BYTES, Pattern(4096, 32, 7))
            reads.run(500, HANGS_AFTER_S)
            check_data("bulkhead", image, reads)
            tasks = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/status")]
            assert any("Seccomp:\t2" in status for status in tasks)
        assert not Path(f"/proc/{pid}").exists()
    finally:
        driver.close()


def test_bulkheads_disk_says_what_it_lacks(tmp_path: Path) -> None:
    driver = DriverSide()
    try:
        with (
            pytest.raises(DiskPeerError, match=r"^bulkhead: .*nowhere.*No such file"),
            NativeDisk().serving(tmp_path / "nowhere", driver, {0}),
        ):
            pass
    finally:
        driver.close()


def test_cpu_time_is_that_of_the_process_that_serves(tmp_path: Path) -> None:
    image = tmp_path / "disk"
    image.write_bytes(os.urandom(DISK_BYTES))
    cpus = os.sched_getaffinity(0)
    start = time.monotonic()
    samples = list(measure(StorageDaemon("qemu-storage-daemon", "threads"), image, cpus, 400, 1))
    took_us = (time.monotonic() - start) * 1e6
    assert [load.name for load, _ in samples] == [load.name for load in WORKLOADS]
    for _, sample in samples:
        assert 0 < sample.device_us < took_us
        assert 0 < sample.driver_us < took_us


def test_wrong_data_is_not_believed(tmp_path: Path) -> None:
    image, other = tmp_path / "disk", tmp_path / "other"
    image.write_bytes(bytes(DISK_BYTES))
    other.write_bytes(b"x" * DISK_BYTES)
    driver = DriverSide()
    try:
        with StorageDaemon("qemu-storage-daemon", "threads").serving(image, driver, os.sched_getaffinity(0)):
            reads = BlockReads(driver.ram, driver.queue, DISK_BYTES, Pattern(4096, 4, 1))
            reads.run(10, HANGS_AFTER_S)
        check_data("right", image, reads)
        with pytest.raises(DiskBenchError, match=r"wrong: what was read at \d+ isn't"):
            check_data("wrong", other, reads)
    finally:
        driver.close()


class Fixed:
    """A peer whose samples are made up."""

    def __init__(self, name: str, rate: float) -> None:
        self.name = name
        self.rate = rate

    def description(self) -> list[str]:
        """See DiskPeer."""
        return ["a command", "a version"]

    def serving(self, image: Path, driver: DriverSide, cpus: set[int]) -> AbstractContextManager[int]:
        """See DiskPeer."""
        raise AssertionError(f"{self.name} doesn't serve {image} to {driver} on {cpus}")


@pytest.mark.parametrize(
    ("ours", "status", "said"),
    [
        (200.0, 0, "1.000 x qemu-b's rate, at least 1: within budget"),
        (199.0, disk.STATUS_OVER_BUDGET, "0.995 x qemu-b's rate, at least 1: OVER BUDGET"),
    ],
)
def test_the_faster_of_qemus_is_the_budget(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], ours: float, status: int, said: str
) -> None:
    made: list[DiskPeer] = [Fixed(NATIVE, ours), Fixed("qemu-a", 100.0), Fixed("qemu-b", 200.0)]
    monkeypatch.setattr(disk, "peers", lambda: made)

    def fake_measure(
        peer: Fixed, _image: Path, _cpus: set[int], _count: int, _seed: int
    ) -> Iterator[tuple[disk.Workload, Sample]]:
        # Only the rate at depth 32 is held against the budget.
        for load in WORKLOADS:
            yield load, Sample(peer.rate if load.budgeted else 1.0, 2.0, 3.0)

    monkeypatch.setattr(disk, "measure", fake_measure)
    assert disk.main(3, 100) == status
    assert said in capsys.readouterr().out


def test_the_table_has_medians_and_ratios() -> None:
    runs = {NATIVE: [400.0, 600.0, 500.0], "qemu-a": [100.0, 100.0, 900.0], "qemu-b": [50.0, 250.0, 300.0]}
    samples = {
        (load.name, peer): [Sample(rate, 1.5, 0.5) for rate in rates]
        for load in WORKLOADS
        for peer, rates in runs.items()
    }
    rows = [" ".join(row.split()) for row in table(samples)]
    assert f"{DEPTH_32} {NATIVE} 500 2.000 2 1.50 us 0.50 us" in rows
    assert f"{DEPTH_1} qemu-a 100 0.400 0 1.50 us 0.50 us" in rows
    assert f"{SEQUENTIAL} qemu-b 250 1.000 31 1.50 us 0.50 us" in rows


def test_what_cannot_be_measured_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(disk, "peers", lambda: [StorageDaemon("no-such-daemon", "threads")])
    assert disk.main(1, 100) == disk.STATUS_NOT_MEASURED
    assert capsys.readouterr().err.startswith("tools/bench: no-such-daemon isn't there")
