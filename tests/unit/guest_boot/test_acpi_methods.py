"""The DSDT's methods as ACPICA, Linux's own interpreter, runs them: acpiexec simulates the registers.

Every byte of a simulated register has the same value, so bit n of a 32-bit one is bit n % 8 of that value.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.unit.guest_boot.acpi_reader import read_tables
from vmm_main.guest_boot.acpi.tables import build_acpi_tables

SLOT_STATUS = [f"evaluate \\_SB.SLTS.VIO{slot:X}._STA" for slot in range(11)]
EVENT = "evaluate \\_SB.GED._EVT 9"
REGISTER_BYTES = (0x00, 0x01, 0x02, 0x03, 0x04, 0x80, 0xFC, 0xFF)


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> Mapping[int, str]:
    """What ACPICA's interpreter says for each value of the registers.

    Its version is printed; without it the tests fail. All run at once, because each sleeps for a second.
    """
    program = shutil.which("acpiexec")
    assert program is not None, "acpiexec is missing: apt-get install acpica-tools"
    version = subprocess.run([program, "-v"], capture_output=True, text=True, check=True).stdout.strip()
    print(f"\n{program}: {version}")
    folder = tmp_path_factory.mktemp("acpi_methods")
    (folder / "dsdt.dat").write_bytes(read_tables(build_acpi_tables(1, com1=True, rtc=True))["DSDT"])

    def run(register_byte: int) -> str:
        commands = "; ".join([*SLOT_STATUS, EVENT])
        command = [program, "-fv", hex(register_byte), "-b", commands, "dsdt.dat"]
        ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=True)
        return ran.stdout + ran.stderr

    with ThreadPoolExecutor(len(REGISTER_BYTES)) as threads:
        return dict(zip(REGISTER_BYTES, threads.map(run, REGISTER_BYTES), strict=True))


@pytest.mark.parametrize("register_byte", REGISTER_BYTES)
def test_the_methods_run_without_an_error(said: Mapping[int, str], register_byte: int) -> None:
    assert "1 ACPI AML tables successfully acquired and loaded" in said[register_byte]
    assert not re.search(r"error|exception|AE_[A-Z]", said[register_byte], re.IGNORECASE), said[register_byte]


@pytest.mark.parametrize("register_byte", REGISTER_BYTES)
def test_a_slot_is_there_when_its_bit_is(said: Mapping[int, str], register_byte: int) -> None:
    status = [int(value, 16) for value in re.findall(r"\[Integer\] = ([0-9A-F]{16})", said[register_byte])]
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
    said: Mapping[int, str], register_byte: int, notified: list[tuple[str, str]]
) -> None:
    # acpiexec runs the handlers on threads, in any order.
    heard = re.findall(r"Notify on \[(\w+)\] \S+ Value 0x([0-9A-F]+)", said[register_byte])
    assert sorted(heard) == notified
