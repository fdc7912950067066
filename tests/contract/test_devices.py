"""Devices: both sides of every bound, what must be given together, and what has no place on the MMIO bus."""

from __future__ import annotations

import time

import pytest

from tests.contract.bench import Bench, wait_until
from tests.contract.device_effects import (
    DEVICE,
    MAX_BYTES,
    OBJECT,
    PERIOD_MS,
    RNG,
    WITH_FILTERS,
    filter_modes,
    metrics,
    reading_guest,
)
from tests.contract.guest_code import POWER_OFF, SPIN
from tests.contract.odd_files import path_of
from tests.unit.qmp.raw_client import RawClient
from vmm_main.device_supervisor.uid_lease import may_give_uids

pytestmark = pytest.mark.timeout(180)


def test_threads_are_filtered_by_default(bench: Bench) -> None:
    assert filter_modes(bench, []) == WITH_FILTERS


@pytest.mark.parametrize("count", [1, 11])
def test_devices_within_the_range(bench: Bench, count: int) -> None:
    devices = ["-device", DEVICE] * count
    found = bench.ask("query-device-processes", *OBJECT, *devices)
    assert [device["state"] for device in found] == ["ready"] * count
    assert len({device["pid"] for device in found}) == count


def test_a_twelfth_device_is_refused(bench: Bench) -> None:
    line = bench.refusal(*bench.guest(SPIN), *OBJECT, *["-device", DEVICE] * 12)
    assert line == "bulkhead: -device: 12 devices; allowed are 0 to 11 on the MMIO bus"


@pytest.mark.parametrize("count", [2, 3])
def test_more_than_two_other_devices_are_warned_of(bench: Bench, count: int) -> None:
    ran = bench.run(*bench.guest(POWER_OFF), *OBJECT, *["-device", DEVICE] * count, "-D")
    assert ran.returncode == 0
    advice = f"{count} devices are neither disk nor NIC; more than 2 are advised against"
    assert (advice in ran.stderr.decode()) == (count > 2)


@pytest.mark.parametrize("key", ["bus=pcie.0", "addr=0x1.0x0", "multifunction=on"])
def test_keys_of_pci_are_refused(bench: Bench, key: str) -> None:
    device = f"{DEVICE},{key}"
    line = bench.expect_refusal(*bench.guest(SPIN), *OBJECT, "-device", device, option="-device", value=key)
    assert "the device is on the MMIO bus" in line


KINDS = ("missing", "unreadable", "directory", "fifo", "socket", "loop", "dangling", "empty", "text",
         "beneath a file", "in a missing directory", "too long")  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_only_a_character_device_is_a_source(bench: Bench, kind: str) -> None:
    path = path_of(kind, bench.directory)
    source = ["-object", f"rng-random,id=objrng0,filename={path}", "-device", DEVICE]
    line = bench.expect_refusal(
        *bench.guest(SPIN), *source, option="-object", value=f"filename={path}", unprivileged=True
    )
    assert line.endswith("allowed is a character device that can be read, such as /dev/urandom")


def test_a_device_needs_its_object(bench: Bench) -> None:
    line = bench.refusal(*bench.guest(SPIN), "-device", DEVICE)
    assert "rng=objrng0: there is no -object rng-random with this id" in line


@pytest.mark.parametrize(
    ("max_bytes", "period"), [(64, 1000), (1, 15), (1_000_000_000, 1000), (1_000_000, 1)]
)
def test_rates_within_the_range(bench: Bench, max_bytes: int, period: int) -> None:
    device = f"{DEVICE},max-bytes={max_bytes},period={period}"
    (found,) = bench.ask("query-device-processes", *OBJECT, "-device", device)
    assert found["state"] == "ready"


@pytest.mark.parametrize(
    ("max_bytes", "period"), [(63, 1000), (1, 16), (1_000_000_001, 1000), (1_000_001, 1)]
)
def test_rates_out_of_the_range(bench: Bench, max_bytes: int, period: int) -> None:
    device = f"{DEVICE},max-bytes={max_bytes},period={period}"
    line = bench.refusal(*bench.guest(SPIN), *OBJECT, "-device", device)
    assert f"max-bytes={max_bytes},period={period}: " in line
    assert line.endswith("allowed are 64 to 1000000000")


@pytest.mark.parametrize(("given", "missing"), [("max-bytes=1234", "period"), ("period=1000", "max-bytes")])
def test_one_half_of_a_rate_is_refused(bench: Bench, given: str, missing: str) -> None:
    line = bench.refusal(*bench.guest(SPIN), *OBJECT, "-device", f"{DEVICE},{given}")
    assert f"{given}: {missing} is missing" in line


def test_the_average_holds(bench: Bench) -> None:
    """-5 to +0 % of max-bytes in each period of milliseconds, plus one bucket at the begin."""
    device = f"{DEVICE},max-bytes={MAX_BYTES},period={PERIOD_MS}"
    with reading_guest(bench, *OBJECT, "-device", device) as client:
        # The bucket is empty by then: the burst is over.
        wait_until(lambda: metrics(client)["rate_waits"] > 1, "nothing has to wait")
        before, began_ms = looked_at(client)
        wait_until(lambda: metrics(client)["bytes"] >= before + 3 * MAX_BYTES, "the guest gets nothing")
        after, ended_ms = looked_at(client)
    least_ms, most_ms = ended_ms[0] - began_ms[1], ended_ms[1] - began_ms[0]
    # A request of 64 bytes may have come just before or just after each look.
    assert 0.95 * MAX_BYTES * least_ms / PERIOD_MS - 64 <= after - before
    assert after - before <= MAX_BYTES * most_ms / PERIOD_MS + 2 * 64


def looked_at(client: RawClient) -> tuple[int, tuple[float, float]]:
    """How many bytes the device has given, and between which times (in ms) it said so."""
    asked_s = time.monotonic()
    count = metrics(client)["bytes"]
    return count, (asked_s * 1000, time.monotonic() * 1000)


def test_a_burst_is_not_limited(bench: Bench) -> None:
    """What a period allows comes at once."""
    device = f"{DEVICE},max-bytes={MAX_BYTES},period=19000"  # 65 a second
    with reading_guest(bench, *OBJECT, "-device", device) as client:
        wait_until(lambda: metrics(client)["rate_waits"] > 0, "nothing has to wait")
        assert metrics(client)["bytes"] >= MAX_BYTES - 64


def test_each_device_has_its_own_process_and_user(bench: Bench) -> None:
    found = bench.ask("query-device-processes", *RNG, "-device", DEVICE)
    assert len({device["pid"] for device in found}) == 2
    assert len({device["uid"] for device in found}) == (2 if may_give_uids() else 1)
