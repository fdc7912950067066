r"""The microvm's DSDT: what its devices are, where, and how the guest learns that something happened.

In ASL, shortened::

    \_S5 = Package { 5, 0, 0, 0 }
    \_SB {
        PWRB    PNP0C0C  power button
        GED     ACPI0013 on GED_GSI: _EVT reads the event selector once, which clears it, and notifies
                         PWRB (0x80: pressed) or SLTS (0: bus check)
        COM1    PNP0501  only if there is a UART
        RTC     PNP0B00  only if there is a clock
        SLTS    ACPI0004 the container of the virtio-mmio slots
            VIOn    LNRO0005 per slot: _STA is 0 until the slot's bit of the presence register is set
    }
"""

from __future__ import annotations

from vmm_main.guest_boot.acpi.aml import (
    ACCESS_DWORD,
    ARG0,
    LOCAL0,
    SYSTEM_IO,
    UPDATE_PRESERVE,
    UPDATE_WRITE_AS_ZEROS,
    and_,
    call,
    device,
    edge_interrupt,
    eisa_id,
    field,
    if_,
    integer,
    io_ports,
    memory32_fixed,
    method,
    name,
    notify,
    operation_region,
    package,
    path,
    resource_template,
    return_,
    scope,
    shift_left,
    store,
    string,
)
from vmm_main.machine.address_map import (
    COM1_PORT,
    COM1_PORTS,
    GED_EVENT_POWER_BUTTON,
    GED_EVENT_SELECTOR_PORT,
    GED_EVENT_SLOT_BUS_CHECK,
    RTC_PORT,
    RTC_PORTS,
    SLEEP_TYPE_S5,
    SLOT_PRESENCE_PORT,
    VIRTIO_MMIO_SIZE,
    virtio_mmio_gpa,
)
from vmm_main.machine.gsi_map import COM1_GSI, GED_GSI, RTC_GSI, VIRTIO_MMIO_GSIS

# Notification values (ACPI 6.4 §5.6.6).
_NOTIFY_BUS_CHECK = 0x00
_NOTIFY_BUTTON_PRESSED = 0x80

_STA_PRESENT = 0x0F  # present, enabled, shown, functioning (§6.3.7)


def dsdt_code(*, com1: bool, rtc: bool) -> bytes:
    """The AML of the DSDT, without its table header."""
    devices = [_power_button(), _generic_event_device(), _virtio_mmio_slots()]
    if com1:
        devices.append(_com1())
    if rtc:
        devices.append(_rtc())
    sleep_type = integer(SLEEP_TYPE_S5)
    zero = integer(0)
    return name("\\_S5", package(sleep_type, zero, zero, zero)) + scope("\\_SB", *devices)


def _power_button() -> bytes:
    return device("PWRB", name("_HID", eisa_id("PNP0C0C")), name("_UID", integer(0)))


def _generic_event_device() -> bytes:
    return device(
        "GED",
        name("_HID", string("ACPI0013")),
        name("_UID", integer(0)),
        name("_CRS", resource_template(edge_interrupt(GED_GSI))),
        operation_region("EVTR", SYSTEM_IO, GED_EVENT_SELECTOR_PORT, 4),
        field("EVTR", ACCESS_DWORD | UPDATE_WRITE_AS_ZEROS, ("EVTS", 32)),
        method(
            "_EVT",
            1,
            store(path("EVTS"), LOCAL0),
            if_(
                and_(LOCAL0, integer(GED_EVENT_POWER_BUTTON)),
                notify("\\_SB.PWRB", _NOTIFY_BUTTON_PRESSED),
            ),
            if_(and_(LOCAL0, integer(GED_EVENT_SLOT_BUS_CHECK)), notify("\\_SB.SLTS", _NOTIFY_BUS_CHECK)),
            serialized=True,
        ),
    )


def _com1() -> bytes:
    return device(
        "COM1",
        name("_HID", eisa_id("PNP0501")),
        name("_UID", integer(0)),
        name("_CRS", resource_template(io_ports(COM1_PORT, COM1_PORTS), edge_interrupt(COM1_GSI))),
    )


def _rtc() -> bytes:
    return device(
        "RTC",
        name("_HID", eisa_id("PNP0B00")),
        name("_UID", integer(0)),
        name("_CRS", resource_template(io_ports(RTC_PORT, RTC_PORTS), edge_interrupt(RTC_GSI))),
    )


def _virtio_mmio_slots() -> bytes:
    hardware_id = name("_HID", string("LNRO0005"))
    slots = [
        device(
            f"VIO{slot:X}",
            hardware_id,
            name("_UID", integer(slot)),
            name(
                "_CRS",
                resource_template(
                    memory32_fixed(virtio_mmio_gpa(slot), VIRTIO_MMIO_SIZE), edge_interrupt(gsi)
                ),
            ),
            method("_STA", 0, return_(call("PSTA", integer(slot)))),
        )
        for slot, gsi in enumerate(VIRTIO_MMIO_GSIS)
    ]
    return device(
        "SLTS",
        name("_HID", string("ACPI0004")),
        name("_UID", integer(0)),
        operation_region("PRER", SYSTEM_IO, SLOT_PRESENCE_PORT, 4),
        field("PRER", ACCESS_DWORD | UPDATE_PRESERVE, ("PRES", 32)),
        method(
            "PSTA",
            1,
            if_(and_(path("PRES"), shift_left(integer(1), ARG0)), return_(integer(_STA_PRESENT))),
            return_(integer(0)),
        ),
        *slots,
    )
