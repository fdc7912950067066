"""The DSDT's methods as ACPICA, Linux's own interpreter, runs them: acpiexec simulates the registers.

Every byte of a simulated register has the same value, so bit n of a 32-bit one is bit n % 8 of that value.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.unit.guest_boot.acpi_reader import read_tables
from vmm_main.guest_boot.acpi.tables import build_acpi_tables


@pytest.fixture(scope="session")
def acpiexec() -> str:
    """The path of ACPICA's interpreter, whose version is printed; without it the tests fail."""
    program = shutil.which("acpiexec")
    assert program is not None, "acpiexec is missing: apt-get install acpica-tools"
    version = subprocess.run([program, "-v"], capture_output=True, text=True, check=True).stdout.strip()
    print(f"\n{program}: {version}")
    return program


def run_methods(acpiexec: str, folder: Path, register_byte: int, *commands: str) -> str:
    """Loads the DSDT and runs the debugger's commands; gives what was printed."""
    (folder / "dsdt.dat").write_bytes(read_tables(build_acpi_tables(1, com1=True, rtc=True))["DSDT"])
    ran = subprocess.run(
        [acpiexec, "-fv", hex(register_byte), "-b", "; ".join(commands), "dsdt.dat"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    said = ran.stdout + ran.stderr
    assert "1 ACPI AML tables successfully acquired and loaded" in said, said
    assert not re.search(r"error|exception|AE_[A-Z]", said, re.IGNORECASE), said
    return said


@pytest.mark.parametrize("register_byte", [0x00, 0x01, 0x04, 0x80, 0xFF])
def test_a_slot_is_there_when_its_bit_is(acpiexec: str, tmp_path: Path, register_byte: int) -> None:
    commands = [f"evaluate \\_SB.SLTS.VIO{slot:X}._STA" for slot in range(11)]
    said = run_methods(acpiexec, tmp_path, register_byte, *commands)
    status = [int(value, 16) for value in re.findall(r"\[Integer\] = ([0-9A-F]{16})", said)]
    assert status == [0x0F if register_byte >> slot % 8 & 1 else 0 for slot in range(11)]


@pytest.mark.parametrize(
    ("register_byte", "notified"),
    [
        (0x00, []),
        (0x01, [("PWRB", "80")]),
        (0x02, [("SLTS", "00")]),
        (0x03, [("PWRB", "80"), ("SLTS", "00")]),
        (0xFC, []),
    ],
)
def test_an_event_notifies_the_device_it_is_about(
    acpiexec: str, tmp_path: Path, register_byte: int, notified: list[tuple[str, str]]
) -> None:
    said = run_methods(acpiexec, tmp_path, register_byte, "evaluate \\_SB.GED._EVT 9")
    # acpiexec runs the handlers on threads, in any order.
    assert sorted(re.findall(r"Notify on \[(\w+)\] \S+ Value 0x([0-9A-F]+)", said)) == notified
