"""The address map and the GSI map: nothing overlaps, nobody shares."""

from __future__ import annotations

import itertools

from vmm_main.machine import address_map as a
from vmm_main.machine import gsi_map

PAGE = 0x1000


def assert_apart(ranges: list[tuple[int, int, str]]) -> None:
    for (_, end, below), (start, _, above) in itertools.pairwise(sorted(ranges)):
        assert end <= start, f"{below} runs into {above}"


def test_memory_ranges_are_apart() -> None:
    assert_apart(
        [
            (a.GDT_GPA, a.GDT_GPA + a.GDT_SIZE, "GDT"),
            (a.PVH_START_INFO_GPA, a.PVH_START_INFO_GPA + PAGE, "PVH start info"),
            (a.BOOT_PARAMS_GPA, a.BOOT_PARAMS_GPA + PAGE, "boot_params"),
            (a.BOOT_STACK_END_GPA - PAGE, a.BOOT_STACK_END_GPA, "boot stack"),
            (a.PAGE_TABLES_GPA, a.PAGE_TABLES_GPA + a.PAGE_TABLES_SIZE, "page tables"),
            (a.COMMAND_LINE_GPA, a.COMMAND_LINE_END_GPA, "command line"),
            (a.CONVENTIONAL_MEMORY_END_GPA, a.ACPI_TABLES_GPA, "reserved"),
            (a.ACPI_TABLES_GPA, a.ACPI_TABLES_END_GPA, "ACPI tables"),
            (a.RESET_ENTRY_GPA, a.RESET_ENTRY_GPA + a.RESET_ENTRY_SIZE, "reset entry"),
            (a.EXTENDED_MEMORY_START_GPA, a.LOW_RAM_END_GPA, "low RAM"),
            *[
                (a.virtio_mmio_gpa(slot), a.virtio_mmio_gpa(slot) + a.VIRTIO_MMIO_SIZE, f"slot {slot}")
                for slot in range(a.VIRTIO_MMIO_SLOTS)
            ],
            (a.IO_APIC_GPA, a.IO_APIC_GPA + PAGE, "I/O APIC"),
            (a.LOCAL_APIC_GPA, a.LOCAL_APIC_GPA + PAGE, "local APIC"),
            (a.KVM_IDENTITY_MAP_GPA, a.KVM_IDENTITY_MAP_GPA + PAGE, "KVM's identity map"),
            (a.KVM_TSS_GPA, a.KVM_TSS_GPA + 3 * PAGE, "KVM's TSS"),
            (a.HIGH_RAM_START_GPA, a.HIGH_RAM_START_GPA + 512 * 2**30, "high RAM"),
        ]
    )


def test_port_ranges_are_apart() -> None:
    assert_apart(
        [
            (a.I8042_DATA_PORT, a.I8042_DATA_PORT + 1, "i8042 data"),
            (a.I8042_COMMAND_PORT, a.I8042_COMMAND_PORT + 1, "i8042 command"),
            (a.RTC_PORT, a.RTC_PORT + a.RTC_PORTS, "RTC"),
            (a.COM1_PORT, a.COM1_PORT + a.COM1_PORTS, "COM1"),
            (a.SLEEP_CONTROL_PORT, a.SLEEP_CONTROL_PORT + 1, "sleep control"),
            (a.SLEEP_STATUS_PORT, a.SLEEP_STATUS_PORT + 1, "sleep status"),
            (a.RESET_PORT, a.RESET_PORT + 1, "reset"),
            (a.GED_EVENT_SELECTOR_PORT, a.GED_EVENT_SELECTOR_PORT + 4, "GED selector"),
            (a.SLOT_PRESENCE_PORT, a.SLOT_PRESENCE_PORT + 4, "slot presence"),
            (a.POWER_PORT + a.POWER_PORTS, 0x1_0000, "everything above"),
        ]
    )


def test_every_gsi_has_one_owner_and_a_pin() -> None:
    owners = [gsi_map.COM1_GSI, gsi_map.RTC_GSI, gsi_map.GED_GSI, *gsi_map.VIRTIO_MMIO_GSIS]
    assert len(set(owners)) == len(owners)
    assert all(2 < gsi < gsi_map.IO_APIC_PINS for gsi in owners)
    assert len(gsi_map.VIRTIO_MMIO_GSIS) == a.VIRTIO_MMIO_SLOTS
