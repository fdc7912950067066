"""The ACPI tables, as a guest finds and reads them."""

from __future__ import annotations

import pytest

from tests.guest.conftest import StartBareMetal

pytestmark = pytest.mark.timeout(180)

# ACPI 6.4 table 5.10.
_RESET_REG_SUP = 1 << 10
_HW_REDUCED_ACPI = 1 << 20


@pytest.mark.parametrize(
    ("form", "cpus", "memory"),
    [
        ("pvh", 1, "256M"),
        ("elf", 1, "256M"),
        ("flat", 4, "256M"),
        ("pvh", 4, "4G"),
        ("elf", 4, "5G"),
        ("pvh", 254, "512G"),
    ],
)
def test_tables(start: StartBareMetal, form: str, cpus: int, memory: str) -> None:
    report = start("tables", "-smp", str(cpus), "-m", memory, form=form).expect_power_off()
    assert 0xE0000 <= report.number("rsdp") < 0x100000
    assert report.number("rsdp-sum") == report.number("rsdp-extended-sum") == 0
    assert report.texts("table") == ["XSDT", "FACP", "APIC", "DSDT"]
    assert report.numbers("table-sum") == [0] * 4
    for flag in (_RESET_REG_SUP, _HW_REDUCED_ACPI):
        assert report.number("fadt-flags") & flag
    assert report.number("enabled-cpus") == cpus
    assert report.number("sum-of-apic-ids") == sum(range(cpus))
    assert report.number("local-apic") == 0xFEE00000
    assert report.number("io-apic") == 0xFEC00000
