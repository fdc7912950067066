"""Every CPU comes up by INIT and SIPI, and knows who it is."""

from __future__ import annotations

import pytest

from tests.guest.conftest import StartBareMetal

pytestmark = pytest.mark.timeout(180)


@pytest.mark.parametrize("cpus", [1, 2, 4, 5, 254])
def test_all_cpus_come_up_with_their_x2apic_ids(start: StartBareMetal, cpus: int) -> None:
    report = start("cpus", "-smp", str(cpus), append=f"cpus={cpus}").expect_power_off()
    by_cpuid, by_msr = report.numbers("id-by-cpuid"), report.numbers("id-by-msr")
    assert by_cpuid[0] == by_msr[0] == 0, "the boot CPU speaks first"
    assert sorted(by_cpuid) == list(range(cpus))
    assert by_msr == by_cpuid


@pytest.mark.parametrize(("cpus", "core_bits"), [(1, 0), (2, 1), (4, 2), (5, 3), (254, 8)])
def test_topology_is_one_socket_of_single_threaded_cores(
    start: StartBareMetal, cpus: int, core_bits: int
) -> None:
    report = start("cpus", "-smp", str(cpus)).expect_power_off()
    assert report.number("smt-processors") == 1
    assert report.number("core-processors") == cpus
    assert report.number("core-shift") == core_bits
    assert report.number("leaf-1-processors") == min(1 << core_bits, 255)
    assert report.number("leaf-1-apic-id") == 0
