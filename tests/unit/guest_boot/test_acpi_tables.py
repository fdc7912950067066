"""The ACPI tables: what a guest reads in them, and what Intel's compiler has to say."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from tests.unit.guest_boot.acpi_reader import read_tables
from vmm_main.guest_boot.acpi.tables import build_acpi_tables

CONFIGURATIONS = [(1, True, True), (1, False, False), (4, True, True), (4, False, True), (254, True, True)]


@pytest.fixture(scope="session")
def iasl() -> str:
    """The path of Intel's ACPI compiler, whose version is printed; without it the tests fail."""
    program = shutil.which("iasl")
    assert program is not None, "iasl is missing: apt-get install acpica-tools"
    version = subprocess.run([program, "-v"], capture_output=True, text=True, check=True).stdout.strip()
    print(f"\n{program}: {version}")
    return program


def disassemble(iasl: str, table: bytes, folder: Path, name: str) -> str:
    """Writes table to folder/name.dat and gives its source; any complaint fails."""
    (folder / f"{name}.dat").write_bytes(table)
    ran = subprocess.run([iasl, "-d", f"{name}.dat"], cwd=folder, capture_output=True, text=True, check=True)
    assert not re.search(r"error|warning|invalid|checksum", ran.stdout + ran.stderr, re.IGNORECASE), ran
    return (folder / f"{name}.dsl").read_text()


def compile_again(iasl: str, folder: Path, name: str) -> str:
    """Compiles folder/name.dsl with every warning and remark on, and gives what iasl said."""
    ran = subprocess.run(
        [iasl, "-w3", "-p", f"{name}-again", f"{name}.dsl"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return ran.stdout + ran.stderr


@pytest.mark.parametrize(("cpus", "com1", "rtc"), CONFIGURATIONS)
def test_iasl_has_nothing_to_say(iasl: str, tmp_path: Path, cpus: int, com1: bool, rtc: bool) -> None:
    tables = read_tables(build_acpi_tables(cpus, com1=com1, rtc=rtc))
    assert sorted(tables) == ["APIC", "DSDT", "FACP", "XSDT"]
    for name, table in tables.items():
        disassemble(iasl, table, tmp_path, name)
        said = compile_again(iasl, tmp_path, name)
        assert "0 Errors, 0 Warnings, 0 Remarks" in said, said
        again = (tmp_path / f"{name}-again.aml").read_bytes()
        if name != "DSDT":  # whose integers and package lengths the compiler spells its own way
            assert again[36:] == table[36:]


def test_iasl_would_complain(iasl: str, tmp_path: Path) -> None:
    """A DSDT with a reserved name of the wrong type and a call to nowhere isn't let through."""
    dsdt = read_tables(build_acpi_tables(1, com1=True, rtc=True))["DSDT"]
    source = disassemble(iasl, dsdt, tmp_path, "DSDT")
    broken = source.replace('Name (_HID, "ACPI0013"', "Name (_HID, Buffer (One) {} ").replace(
        "EVTS /*", "GONE /*"
    )
    assert broken != source
    (tmp_path / "DSDT.dsl").write_text(broken)
    said = compile_again(iasl, tmp_path, "DSDT")
    assert "0 Errors, 0 Warnings" not in said


def test_the_fadt() -> None:
    fadt = read_tables(build_acpi_tables(1, com1=True, rtc=True))["FACP"]
    assert len(fadt) == 276
    assert (fadt[8], fadt[131]) == (6, 4)  # ACPI 6.4
    (flags,) = struct.unpack_from("<I", fadt, 112)
    assert flags & 1 << 20  # HW_REDUCED_ACPI
    assert flags & 1 << 10  # RESET_REG_SUP
    assert flags & 1 << 4  # PWR_BUTTON: it is a device
    io_byte = struct.Struct("<BBBBQ")
    assert io_byte.unpack_from(fadt, 116) == (1, 8, 0, 1, 0x602)
    assert fadt[128] == 1
    assert io_byte.unpack_from(fadt, 244) == (1, 8, 0, 1, 0x600)
    assert io_byte.unpack_from(fadt, 256) == (1, 8, 0, 1, 0x601)
    # No FACS, no fixed hardware.
    assert fadt[36:40] == bytes(4)
    assert fadt[45:109] == bytes(64)
    assert fadt[132:140] == bytes(8)
    assert fadt[148:244] == bytes(96)


@pytest.mark.parametrize(("rtc", "flags"), [(True, 0x04), (False, 0x24)])
def test_the_boot_architecture_flags(rtc: bool, flags: int) -> None:
    """No VGA, no 8042, no legacy devices; a CMOS clock if there is one."""
    fadt = read_tables(build_acpi_tables(1, com1=True, rtc=rtc))["FACP"]
    assert struct.unpack_from("<H", fadt, 109) == (flags,)


@pytest.mark.parametrize("cpus", [1, 2, 254])
def test_the_madt(cpus: int) -> None:
    madt = read_tables(build_acpi_tables(cpus, com1=True, rtc=True))["APIC"]
    assert struct.unpack_from("<II", madt, 36) == (0xFEE0_0000, 0)  # no 8259s
    local_apics = []
    others = []
    position = 44
    while position < len(madt):
        kind, length = madt[position : position + 2]
        entry = madt[position + 2 : position + length]
        if kind == 0:
            local_apics.append(struct.unpack("<BBI", entry))
        else:
            others.append((kind, entry))
        position += length
    assert local_apics == [(cpu, cpu, 1) for cpu in range(cpus)]
    assert others == [
        (1, struct.pack("<BBII", 0, 0, 0xFEC0_0000, 0)),
        (4, struct.pack("<BHB", 0xFF, 0, 1)),
    ]


@pytest.mark.parametrize("cpus", [0, 255, -1])
def test_cpus_out_of_range(cpus: int) -> None:
    with pytest.raises(ValueError, match="allowed: 1 to 254"):
        build_acpi_tables(cpus, com1=True, rtc=True)


def test_the_devices_of_the_dsdt(iasl: str, tmp_path: Path) -> None:
    source = disassemble(
        iasl, read_tables(build_acpi_tables(1, com1=True, rtc=True))["DSDT"], tmp_path, "DSDT"
    )
    devices = re.split(r"\n *Device \(", source)
    by_name = {text[:4]: text for text in devices[1:]}
    assert list(by_name) == ["PWRB", "GED)", "SLTS", *(f"VIO{slot:X}" for slot in range(11)), "COM1", "RTC)"]
    for slot, gsi in enumerate((5, 6, 7, 10, 11, 12, 16, 17, 18, 19, 20)):
        text = by_name[f"VIO{slot:X}"]
        assert '"LNRO0005"' in text
        assert f"0x{0xFEB0_0000 + slot * 0x1000:08X},         // Address Base" in text
        assert "0x00000200,         // Address Length" in text
        assert f"0x{gsi:08X}," in text
        assert "Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive" in text
    assert '"ACPI0013"' in by_name["GED)"]
    assert "0x00000009," in by_name["GED)"]
    assert "OperationRegion (EVTR, SystemIO, 0x0604, 0x04)" in by_name["GED)"]
    assert by_name["GED)"].count("EVTS /*") == 1  # reading clears it: twice would lose events
    assert '"ACPI0004"' in by_name["SLTS"]
    assert "OperationRegion (PRER, SystemIO, 0x0608, 0x04)" in by_name["SLTS"]
    assert '"PNP0501"' in by_name["COM1"]
    assert re.search(r"IO \(Decode16,\s+0x03F8,[^}]*0x00000004,", by_name["COM1"])
    assert '"PNP0B00"' in by_name["RTC)"]
    assert re.search(r"IO \(Decode16,\s+0x0070,[^}]*0x00000008,", by_name["RTC)"])
    assert '"PNP0C0C"' in by_name["PWRB"]
    assert re.search(r"Name \(\\_S5, Package \(0x04\)[^{]*\{\s+0x05,", source)


def test_no_com1_without_a_uart(iasl: str, tmp_path: Path) -> None:
    source = disassemble(
        iasl, read_tables(build_acpi_tables(1, com1=False, rtc=False))["DSDT"], tmp_path, "DSDT"
    )
    assert "PNP0501" not in source
    assert "PNP0B00" not in source
    assert "PNP0C0C" in source
