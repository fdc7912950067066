"""The microvm's ACPI tables: RSDP, XSDT, FADT, MADT and DSDT in one piece (ACPI 6.4 §5.2).

Hardware-reduced ACPI (§4.1): no PIC, no PIT, no FACS, no fixed events; sleep and reset are registers of our
own, events come by a generic event device.
"""

from __future__ import annotations

import _struct as struct

from vmm_main.guest_boot.acpi.aml import SYSTEM_IO
from vmm_main.guest_boot.acpi.dsdt import dsdt_code
from vmm_main.machine.address_map import (
    ACPI_TABLES_GPA,
    IO_APIC_GPA,
    LOCAL_APIC_GPA,
    RESET_PORT,
    RESET_VALUE,
    SLEEP_CONTROL_PORT,
    SLEEP_STATUS_PORT,
)

MAX_CPUS = 254  # 8-bit APIC ids; 255 is the broadcast

_OEM_ID = b"BLKHD "
_OEM_TABLE_ID = b"BULKHEAD"
_CREATOR_ID = b"BLKH"
_HYPERVISOR_ID = b"BULKHEAD"
_HEADER_SIZE = 36
_RSDP_SIZE = 36
_ALIGNMENT = 16
_FADT_VERSION = 6
_FADT_MINOR_VERSION = 4  # ACPI 6.4

# FADT flags (§5.2.9, table 5.10).
_FADT_WBINVD = 1 << 0
_FADT_PROC_C1 = 1 << 2
_FADT_PWR_BUTTON = 1 << 4  # the power button is no fixed event (there are none) but a device
_FADT_SLP_BUTTON = 1 << 5  # likewise, or there is none
_FADT_FIX_RTC = 1 << 6  # the RTC wakes nobody by a fixed event
_FADT_RESET_REG_SUP = 1 << 10
_FADT_HEADLESS = 1 << 12
_FADT_HW_REDUCED_ACPI = 1 << 20
_FADT_FLAGS = (
    _FADT_WBINVD
    | _FADT_PROC_C1
    | _FADT_PWR_BUTTON
    | _FADT_SLP_BUTTON
    | _FADT_FIX_RTC
    | _FADT_RESET_REG_SUP
    | _FADT_HEADLESS
    | _FADT_HW_REDUCED_ACPI
)
# IA-PC boot architecture flags (§5.2.9.3). LEGACY_DEVICES and 8042 stay 0: COM1 is in the DSDT, and of the
# keyboard controller there is the reset line only.
_BOOT_VGA_NOT_PRESENT = 1 << 2
_BOOT_CMOS_RTC_NOT_PRESENT = 1 << 5

# Local APIC and I/O APIC structures of the MADT (§5.2.12).
_MADT_LOCAL_APIC = struct.Struct("<BBBBI")
_MADT_IO_APIC = struct.Struct("<BBBBII")
_MADT_LOCAL_APIC_NMI = struct.Struct("<BBBHB")
_MADT_ENABLED = 1 << 0
_ALL_PROCESSORS = 0xFF
_NMI_LINT = 1


def build_acpi_tables(cpus: int, *, com1: bool, rtc: bool) -> bytes:
    """Builds all tables for one fixed place in guest memory.

    Args:
        cpus: How many CPUs there are, 1 to 254; their APIC ids are 0, 1, ...
        com1: There is a UART at COM1.
        rtc: There is a clock at the RTC's ports.

    Returns:
        The bytes for ACPI_TABLES_GPA; the RSDP is at their beginning.

    Raises:
        ValueError: cpus is out of range.
    """
    if not 1 <= cpus <= MAX_CPUS:
        raise ValueError(f"{cpus} CPUs, allowed: 1 to {MAX_CPUS}")
    tables = bytearray(_RSDP_SIZE)
    dsdt_gpa = _append(tables, _table(b"DSDT", 2, dsdt_code(com1=com1, rtc=rtc)))
    fadt_gpa = _append(tables, _fadt(dsdt_gpa, rtc=rtc))
    madt_gpa = _append(tables, _madt(cpus))
    xsdt_gpa = _append(tables, _table(b"XSDT", 1, struct.pack("<QQ", fadt_gpa, madt_gpa)))
    tables[:_RSDP_SIZE] = _rsdp(xsdt_gpa)
    return bytes(tables)


def _append(tables: bytearray, table: bytes) -> int:
    tables.extend(bytes(-len(tables) % _ALIGNMENT))
    gpa = ACPI_TABLES_GPA + len(tables)
    tables.extend(table)
    return gpa


def _checksum(content: bytes) -> int:
    """The byte that makes the sum of all bytes 0, modulo 256."""
    return -sum(content) & 0xFF


def _table(signature: bytes, revision: int, content: bytes) -> bytes:
    header = struct.pack(
        "<4sIBB6s8sI4sI",
        signature,
        _HEADER_SIZE + len(content),
        revision,
        0,
        _OEM_ID,
        _OEM_TABLE_ID,
        1,
        _CREATOR_ID,
        1,
    )
    checksum = -(sum(header) + sum(content)) & 0xFF
    return b"".join((header[:9], bytes((checksum,)), header[10:], content))


def _io_byte_register(port: int) -> bytes:
    """A generic address structure (§5.2.3.2) for one byte of I/O space."""
    return struct.pack("<BBBBQ", SYSTEM_IO, 8, 0, 1, port)


def _rsdp(xsdt_gpa: int) -> bytes:
    # §5.2.5.3: the first checksum covers the 20 bytes of ACPI 1.0, the second one everything.
    revision_2 = 2
    first = struct.pack("<8sB6sBI", b"RSD PTR ", 0, _OEM_ID, revision_2, 0)
    first = first[:8] + bytes((_checksum(first),)) + first[9:]
    rest = struct.pack("<IQB3x", _RSDP_SIZE, xsdt_gpa, 0)
    return first + rest[:12] + bytes((_checksum(first + rest),)) + rest[13:]


def _fadt(dsdt_gpa: int, *, rtc: bool) -> bytes:
    boot_architecture = _BOOT_VGA_NOT_PRESENT | (0 if rtc else _BOOT_CMOS_RTC_NOT_PRESENT)
    content = b"".join(
        (
            # FIRMWARE_CTRL (no FACS) and DSDT; then everything about fixed hardware: 0.
            struct.pack("<II65x", 0, dsdt_gpa),
            # IAPC_BOOT_ARCH (offset 109 of the table), reserved, flags.
            struct.pack("<HxI", boot_architecture, _FADT_FLAGS),
            _io_byte_register(RESET_PORT),
            # RESET_VALUE, ARM_BOOT_ARCH, minor version; X_FIRMWARE_CTRL, X_DSDT; 8 blocks.
            struct.pack("<BHBQQ96x", RESET_VALUE, 0, _FADT_MINOR_VERSION, 0, dsdt_gpa),
            _io_byte_register(SLEEP_CONTROL_PORT),
            _io_byte_register(SLEEP_STATUS_PORT),
            _HYPERVISOR_ID,
        )
    )
    return _table(b"FACP", _FADT_VERSION, content)


def _madt(cpus: int) -> bytes:
    pack = _MADT_LOCAL_APIC.pack
    entries = [pack(0, 8, cpu, cpu, _MADT_ENABLED) for cpu in range(cpus)]
    entries.append(_MADT_IO_APIC.pack(1, 12, 0, 0, IO_APIC_GPA, 0))
    entries.append(_MADT_LOCAL_APIC_NMI.pack(4, 6, _ALL_PROCESSORS, 0, _NMI_LINT))
    # Flags: 0, there are no 8259s.
    return _table(b"APIC", 5, struct.pack("<II", LOCAL_APIC_GPA, 0) + b"".join(entries))
