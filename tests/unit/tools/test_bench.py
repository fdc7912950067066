"""`tools/bench first-byte`, on fake VMMs: what it measures, compares, refuses and returns, at any speed."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tools.benchmarks.comparison import Medians, budget_lines, device_budget_lines, table
from tools.benchmarks.first_byte import Sample
from tools.benchmarks.first_byte_guest import CODE, elf_kernel
from tools.benchmarks.peer import PeerError, bulkhead, check_names, parse_peer, qemu_microvm
from tools.benchmarks.process_tree import TreeMemory
from tools.setup.host_kind import HostKind
from vmm_main.guest_boot.boot_file import BootFile
from vmm_main.guest_boot.elf import ElfKernel

CHECKOUT = Path(__file__).resolve().parents[3]
FAKE = Path(__file__).with_name("fake_bench_vmm.py")
MIB = 1024  # in KiB

pytestmark = pytest.mark.timeout(120)

RunBench = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def fake(tmp_path: Path) -> Callable[[str, str], str]:
    """Makes a program that behaves."""

    def make(name: str, behaviour: str) -> str:
        program = tmp_path / name
        words = shlex.join([sys.executable, "-I", "-S", "-E", str(FAKE), name, behaviour])
        program.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
        program.chmod(0o755)
        return str(program)

    return make


@pytest.fixture
def bench(tmp_path: Path, fake: Callable[[str, str], str]) -> RunBench:
    """Runs tools/bench with fakes in Bulkhead's and QEMU's places; returns what it printed."""

    def run(*arguments: str, ours: str = "plain", qemu: str = "hold=100") -> subprocess.CompletedProcess[str]:
        programs = ["--vmm", fake("ours", ours), "--qemu", fake("qemu", qemu)]
        return subprocess.run(
            [str(CHECKOUT / "tools" / "bench"), "first-byte", *programs, *arguments],
            env={**os.environ, "FAKE_BENCH_NOTES": str(tmp_path / "notes")},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def raw(output: str, peer: str, what: str) -> list[float]:
    """The samples that were printed of one figure of a peer."""
    section = output.partition(f"\n{peer}, raw: ")[2].partition("\n\n")[0]
    (line,) = [line for line in section.splitlines() if what in line]
    return [float(word) for word in line.rpartition(": ")[2].split()]


def medians(first_byte_ms: float, alone: float | None, pss: float) -> Medians:
    return Medians(1, first_byte_ms, pss, pss, alone, 0, 0)


def test_the_guest_is_ten_instructions_in_both_modes(tmp_path: Path) -> None:
    code = tmp_path / "code"
    code.write_bytes(CODE)
    listings = []
    for mode in ("i386", "i386:x86-64"):
        command = ["objdump", "-D", "-b", "binary", "-m", mode, "--no-show-raw-insn", str(code)]
        shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        listings.append([line.split("\t", 1)[1].strip() for line in shown.splitlines() if "\t" in line])
    assert listings[0] == listings[1]
    assert len(listings[0]) == 10


def test_the_guest_is_an_elf_file_with_a_pvh_note(tmp_path: Path) -> None:
    kernel = tmp_path / "kernel"
    kernel.write_bytes(elf_kernel())
    file = BootFile("-kernel", str(kernel), "an ELF")
    image = ElfKernel(file, elf_kernel())
    file.close()
    (segment,) = image.segments
    assert image.pvh_entry_gpa == image.entry_gpa == segment.gpa
    assert elf_kernel()[segment.file_offset :].startswith(CODE)


def test_medians_take_each_figure_by_itself() -> None:
    memory = TreeMemory(processes=1, pss=10, private=5, alone=30, page_tables=1, guest=0)
    samples = [
        Sample(3.0, memory),
        Sample(1.0, replace(memory, pss=30)),
        Sample(9.0, replace(memory, pss=20)),
    ]
    found = Medians.of(samples)
    assert (found.first_byte_ms, found.pss, found.alone, found.private) == (3.0, 20, 30, 5)
    assert Medians.of([*samples, Sample(1.0, replace(memory, alone=None))]).alone is None


@pytest.mark.parametrize(
    ("first_byte_ms", "alone", "kept"),
    [(30.0, 400, [True, True]), (30.1, 400, [False, True]), (30.0, 401, [True, False])],
)
def test_a_budget_is_kept_up_to_its_ratio(first_byte_ms: float, alone: float, kept: list[bool]) -> None:
    lines = budget_lines(medians(first_byte_ms, alone, 1), medians(100.0, 1000, 1))
    assert [line.kept() for line in lines] == kept
    assert [("OVER BUDGET" in str(line)) for line in lines] == [not each for each in kept]


def test_pss_decides_where_page_frames_are_hidden_from_one_of_both() -> None:
    lines = budget_lines(medians(1.0, None, 100), medians(10.0, 1, 1000))
    assert lines[1].measured == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("few_ms", "few_kib", "many_kib", "over"),
    [
        (45.0, 14 * MIB, 14 * MIB + 7 * 0.75 * MIB, []),
        (45.1, 14 * MIB, 14 * MIB, ["first byte with 4 devices"]),
        (1.0, 14 * MIB + 1, 14 * MIB, ["memory with 4 devices"]),
        (1.0, 10 * MIB, 10 * MIB + 7 * 0.75 * MIB + 7, ["memory of each further device"]),
    ],
)
def test_devices_have_budgets_of_their_own(
    few_ms: float, few_kib: float, many_kib: float, over: list[str]
) -> None:
    few, many = medians(few_ms, few_kib, 1), medians(100.0, many_kib, 1)
    lines = device_budget_lines(few, 4, many, 11, medians(100.0, 1, 1))
    assert [line.what for line in lines if not line.kept()] == over
    assert [line.what for line in lines if "OVER BUDGET" in str(line)] == over


def test_pss_decides_for_devices_where_page_frames_are_hidden() -> None:
    few, many = medians(1.0, None, 15 * MIB), medians(1.0, 1, 22 * MIB)
    lines = device_budget_lines(few, 4, many, 11, medians(100.0, 1, 1))
    assert [line.measured for line in lines[1:]] == [15 * MIB, MIB]


def test_ratios_in_the_table_are_to_the_base() -> None:
    rows = table({"a": medians(10.0, 512, 100), "b": medians(40.0, 1024, 400)}, "b").splitlines()
    assert " ".join(rows[1].split()) == "a 10.00 ms 0.250 0.50 MiB 0.500 0.10 MiB 0.250 0.10 MiB 0 KiB 1"
    assert len({len(row) for row in rows}) == 1


def test_peers_fill_in_what_they_need() -> None:
    peer = parse_peer("other='/a b/vmm' --kernel {kernel} --memory size={memory_mib}M --api {directory}/x")
    assert peer.command(Path("/k"), 300, Path("/d")) == [
        "/a b/vmm", "--kernel", "/k", "--memory", "size=300M", "--api", "/d/x",
    ]  # fmt: skip
    for text in ("no-command", "=x", "a=", "a b=x", "a='x"):
        with pytest.raises(PeerError):
            parse_peer(text)
    with pytest.raises(PeerError, match="two peers"):
        check_names([bulkhead("x"), parse_peer("bulkhead=y")])


def test_qemu_goes_without_arch_capabilities_only_where_kvm_emulates() -> None:
    words = {runs: qemu_microvm("q", HostKind(runs, "")).words for runs in (True, False)}
    assert "host" in words[True]
    assert "host,-arch-capabilities" in words[False]


def test_rounds_take_every_peer_in_turn_after_a_round_to_warm_up(
    bench: RunBench, fake: Callable[[str, str], str], tmp_path: Path
) -> None:
    ran = bench("--runs", "2", f"third={fake('third', 'plain')} -x {{memory_mib}}")
    order = (tmp_path / "notes").read_text().split()
    assert order == ["ours", "qemu", "third", "qemu", "third", "ours", "third", "ours", "qemu"]
    assert f"third: {tmp_path}/third -x 256" in ran.stdout
    assert "Fake third 1.0" in ran.stdout
    assert len(raw(ran.stdout, "third", "first byte")) == 2
    assert "host: " in ran.stdout


def test_devices_are_measured_on_request_and_held_to_their_budgets(bench: RunBench, tmp_path: Path) -> None:
    ran = bench("--runs", "1", "--devices", ours="hold=15")
    assert (tmp_path / "notes").read_text().split().count("ours") == 2 * 3
    (command,) = [line for line in ran.stdout.splitlines() if line.startswith("bulkhead-11: ")]
    assert command.count("-device virtio-rng-device,") == 11
    lines = [line for line in ran.stdout.splitlines() if line.startswith("budget: memory")]
    assert ["OVER BUDGET" in line for line in lines] == [False, True, False], ran.stdout
    assert ran.returncode == 1


def test_memory_over_budget_is_status_1_and_says_so(bench: RunBench) -> None:
    ran = bench("--runs", "1", ours="hold=100")
    assert ran.returncode == 1, ran.stderr
    (line,) = [line for line in ran.stdout.splitlines() if line.startswith("budget: memory")]
    assert "OVER BUDGET" in line
    assert min(raw(ran.stdout, "bulkhead", "private")) >= 100 * MIB


def test_the_whole_tree_is_counted_once_and_guest_memory_is_left_out(bench: RunBench) -> None:
    ran = bench("--runs", "1", ours="family")
    (private,) = raw(ran.stdout, "bulkhead", "private")
    (pss,) = raw(ran.stdout, "bulkhead", "PSS")
    (guest,) = raw(ran.stdout, "bulkhead", "the guest's")
    # 16 MiB that three processes share, 8 MiB that two do, 4 MiB of one, and three interpreters.
    assert 28 * MIB <= pss < 28 * MIB + 16 * MIB
    assert 4 * MIB <= private < pss - 20 * MIB
    assert guest == 32 * MIB
    assert ran.stdout.partition("medians")[2].splitlines()[2].split()[-1] == "3"
    if os.geteuid() == 0:
        (alone,) = raw(ran.stdout, "bulkhead", "alone")
        assert pss <= alone < 28 * MIB + 24 * MIB


def test_what_a_vmm_says_is_not_taken_for_the_byte(bench: RunBench) -> None:
    ran = bench("--runs", "1", ours="fickle")
    assert len(raw(ran.stdout, "bulkhead", "first byte")) == 1


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [("ends", ["ended", "no such guest"]), ("mute", ["no byte from the guest within 0.5 s", "said nothing"])],
)
def test_a_vmm_without_a_byte_is_named(bench: RunBench, behaviour: str, words: list[str]) -> None:
    ran = bench("--runs", "1", "--deadline", "0.5", qemu=behaviour)
    assert ran.returncode == 2
    assert ran.stderr.startswith("tools/bench: qemu-microvm: ")
    assert all(word in ran.stderr for word in words), ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_vmm_that_is_not_there_is_named(bench: RunBench) -> None:
    ran = bench("--runs", "1", "third=/nowhere/vmm")
    assert (ran.returncode, ran.stderr) == (
        2,
        "tools/bench: third: can't run /nowhere/vmm: No such file or directory\n",
    )


def test_no_process_is_left(bench: RunBench, tmp_path: Path) -> None:
    bench("--runs", "1", ours="family")
    left = [
        path.parent.name
        for path in Path("/proc").glob("[0-9]*/environ")
        if f"FAKE_BENCH_NOTES={tmp_path}".encode() in read_if_there(path)
    ]
    assert left == []


def read_if_there(path: Path) -> bytes:
    """What is in a file of a process, which may end at any moment, or be somebody else's."""
    try:
        return path.read_bytes()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return b""


@pytest.mark.parametrize("arguments", [["--runs", "0"], ["--memory", "128"], ["--nonsense"]])
def test_misuse_is_refused(bench: RunBench, arguments: list[str]) -> None:
    assert bench(*arguments).returncode == 2
