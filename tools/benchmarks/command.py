"""The command `tools/bench`."""

from __future__ import annotations

import argparse
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from tools.benchmarks.comparison import Medians, budget_lines, device_budget_lines, table
from tools.benchmarks.first_byte import Sample, adopt_orphans, run_once
from tools.benchmarks.first_byte_guest import write_elf_kernel
from tools.benchmarks.peer import (
    BUDGETED_DEVICES,
    BULKHEAD,
    MOST_DEVICES,
    QEMU,
    Peer,
    PeerError,
    bulkhead,
    bulkhead_with_devices,
    check_names,
    empty_python,
    parse_peer,
    qemu_microvm,
    with_devices,
)
from tools.setup import debian_packages
from tools.setup.debian_packages import SetupError
from tools.setup.environment import prepare_environment
from tools.setup.host_kind import host_kind

CHECKOUT = Path(__file__).resolve().parents[2]
STATUS_OVER_BUDGET = 1
STATUS_NOT_MEASURED = 2
_DEADLINE_S = 60.0

DESCRIPTION = """Measure the time from the exec of a VMM to the first byte that a guest of ten instructions
writes to COM1, and the memory of the VMM's whole process tree at that moment, without the guest's own.
Bulkhead, QEMU's microvm and any other peers run one after the other, round by round, after a round to warm
up. See docs/benchmarks.md."""

EPILOG = """A peer's COMMAND is split into words as a shell would, and run without one; {kernel} (an ELF with
a PVH note), {memory_mib} and {directory} (empty at each run) are filled in. It must have the guest's COM1 on
its standard output. Exit status: 0 measured and within the budgets, 1 over one, 2 not measured."""


def parser() -> argparse.ArgumentParser:
    """The options."""
    made = argparse.ArgumentParser(prog="tools/bench")
    benchmarks = made.add_subparsers(dest="benchmark", required=True, metavar="BENCHMARK")
    first_byte = benchmarks.add_parser(
        "first-byte",
        help="exec to the guest's first byte, and memory",
        description=DESCRIPTION,
        epilog=EPILOG,
    )
    first_byte.add_argument("peers", nargs="*", metavar="NAME='COMMAND'", help="another VMM to measure")
    first_byte.add_argument("--runs", type=_positive, default=20, metavar="N", help="rounds (%(default)d)")
    first_byte.add_argument(
        "--memory", type=_guest_memory, default=256, metavar="MIB", help="the guest's memory (%(default)d)"
    )
    first_byte.add_argument(
        "--devices",
        action="store_true",
        help=f"measure Bulkhead with {BUDGETED_DEVICES} and with {MOST_DEVICES} devices too",
    )
    first_byte.add_argument(
        "--python", action="store_true", help="measure an empty `python3 -I -S -E` too, for reference"
    )
    first_byte.add_argument("--vmm", metavar="PROGRAM", help="Bulkhead (default: set up and built in .venv)")
    first_byte.add_argument("--qemu", metavar="PROGRAM", help="QEMU (default: Debian's qemu-system-x86_64)")
    first_byte.add_argument(
        "--deadline",
        type=float,
        default=_DEADLINE_S,
        metavar="S",
        help="give a run up after (%(default)g s)",
    )
    doorbell = benchmarks.add_parser(
        "doorbell",
        help="kick to call through a null queue",
        description="Measure the time from a kick being written to the call being readable, through a queue "
        "whose device does nothing, beside a bare eventfd ping-pong between two processes.",
        epilog="Exit status: 0 measured and within the budget, 1 over it, 2 not measured.",
    )
    doorbell.add_argument("--rounds", type=_positive, default=7, metavar="N", help="rounds (%(default)d)")
    doorbell.add_argument(
        "--count", type=_positive, default=5000, metavar="N", help="doorbells in each (%(default)d)"
    )
    disk = benchmarks.add_parser(
        "disk",
        help="reads of a disk in the page cache",
        description="Measure 4 KiB random reads at queue depths 1 and 32, and 128 KiB sequential ones, "
        "through Bulkhead's disk and qemu-storage-daemon's vhost-user-blk, both driven by the same fake "
        "driver, and the CPU time of each.",
        epilog="Exit status: 0 measured and within the budget, 1 over it, 2 not measured.",
    )
    disk.add_argument("--rounds", type=_positive, default=9, metavar="N", help="rounds (%(default)d)")
    disk.add_argument(
        "--count",
        type=_positive,
        default=50000,
        metavar="N",
        help="requests of depth 32 in each (%(default)d); a tenth of it of the others",
    )
    recovery = benchmarks.add_parser(
        "recovery",
        help="SIGKILL of a disk's process to the next request that is completed",
        description="Measure the time from SIGKILL of a disk's process under load to the next used entry, by "
        "a successor that main's supervisor has made.",
        epilog="Exit status: 0 measured and within the budget, 1 over it, 2 not measured.",
    )
    recovery.add_argument(
        "--kills", type=_positive, default=50, metavar="N", help="kills, one a second (%(default)d)"
    )
    latency = benchmarks.add_parser(
        "qmp-latency",
        help="QMP's answers beside a hostile device process",
        description="Measure round trips of query-status beside a device process that is quiet, that talks "
        "as much as it may, that floods main and is restarted for ever, that signals its driver without end.",
        epilog="Exit status: 0 measured and within the budgets, 1 over one, 2 not measured.",
    )
    latency.add_argument("--rounds", type=_positive, default=5, metavar="N", help="rounds (%(default)d)")
    latency.add_argument(
        "--count", type=_positive, default=2000, metavar="N", help="round trips in each (%(default)d)"
    )
    return made


def main(arguments: Sequence[str]) -> int:
    """Runs a benchmark; returns the exit status."""
    options = parser().parse_args(arguments)
    if options.benchmark == "doorbell":
        return _in_environment(options, debian_packages.FOR_BUILDING, options.rounds, options.count)
    if options.benchmark == "disk":
        packages = {**debian_packages.FOR_BUILDING, **debian_packages.FOR_BENCHMARKS}
        return _in_environment(options, packages, options.rounds, options.count)
    if options.benchmark == "qmp-latency":
        return _in_environment(options, debian_packages.FOR_BUILDING, options.rounds, options.count)
    if options.benchmark == "recovery":
        return _in_environment(options, debian_packages.FOR_BUILDING, options.kills)
    try:
        peers = _peers(options)
        check_names(peers)
        adopt_orphans()
        _print_circumstances(peers, options)
        samples = _measure(peers, options)
    except (SetupError, PeerError) as error:
        print(f"tools/bench: {error}", file=sys.stderr)
        return STATUS_NOT_MEASURED
    return _print_results(samples)


def _in_environment(options: argparse.Namespace, packages: Iterable[str], *numbers: int) -> int:
    """Runs a benchmark in Bulkhead's environment: it needs the data plane itself, not the command."""
    try:
        debian_packages.install_missing(packages, _say)
        python = prepare_environment(CHECKOUT, "", _say)
    except SetupError as error:
        print(f"tools/bench: {error}", file=sys.stderr)
        return STATUS_NOT_MEASURED
    module = f"tools.benchmarks.{options.benchmark.replace('-', '_')}"
    command = [str(python), "-m", module, *map(str, numbers)]
    return subprocess.run(command, cwd=CHECKOUT, check=False).returncode


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text}: at least 1")
    return number


def _guest_memory(text: str) -> int:
    number = int(text)
    if number < 256:  # below, the guest's memory can't be told from a VMM's own by its size
        raise argparse.ArgumentTypeError(f"{text}: at least 256")
    return number


def _peers(options: argparse.Namespace) -> list[Peer]:
    """Installs what the built-in peers need, and lists all."""
    vmm, qemu = options.vmm, options.qemu
    if qemu is None:
        debian_packages.install_missing(debian_packages.FOR_BENCHMARKS, _say)
        qemu = "qemu-system-x86_64"
    if vmm is None:
        debian_packages.install_missing(debian_packages.FOR_BUILDING, _say)
        prepare_environment(CHECKOUT, "", _say)
        vmm = str(CHECKOUT / ".venv" / "bin" / "bulkhead")
    peers = [bulkhead(vmm), qemu_microvm(qemu, host_kind())]
    if options.devices:
        peers += [bulkhead_with_devices(vmm, count) for count in (BUDGETED_DEVICES, MOST_DEVICES)]
    if options.python:
        peers.append(empty_python(sys.executable))
    return peers + [parse_peer(text) for text in options.peers]


def _say(message: str) -> None:
    print(f"tools/bench: {message}", file=sys.stderr, flush=True)


def _print_circumstances(peers: Sequence[Peer], options: argparse.Namespace) -> None:
    """The host, and each peer's exact command and version."""
    load = ", ".join(f"{each:.2f}" for each in os.getloadavg())
    print(f"host: {host_kind().sentence}")
    print(f"  {platform.system()} {platform.release()}, {os.cpu_count()} CPUs, load {load}")
    print(f"guest: ten instructions, {options.memory} MiB, {options.runs} rounds after one to warm up")
    for peer in peers:
        words = peer.command(Path("{kernel}"), options.memory, Path("{directory}"))
        program = shutil.which(words[0]) or words[0]
        print(f"{peer.name}: {shlex.join([program, *words[1:]])}")
        print(f"{' ' * len(peer.name)}  {peer.version()}", flush=True)


def _measure(peers: Sequence[Peer], options: argparse.Namespace) -> dict[str, list[Sample]]:
    """Rounds in which every peer runs once; the first warms caches up and isn't counted."""
    samples: dict[str, list[Sample]] = {peer.name: [] for peer in peers}
    with tempfile.TemporaryDirectory(prefix="bulkhead-bench-") as directory:
        kernel = write_elf_kernel(Path(directory))
        for round_number in range(options.runs + 1):
            # Each round begins with another peer: whoever runs after a large VMM finds the caches cold.
            first = round_number % len(peers)
            for peer in [*peers[first:], *peers[:first]]:
                sample = run_once(peer, kernel, options.memory, options.deadline)
                if round_number > 0:
                    samples[peer.name].append(sample)
    return samples


def _print_results(samples: dict[str, list[Sample]]) -> int:
    for name, runs in samples.items():
        print(f"\n{name}, raw: first byte in ms: {' '.join(f'{run.first_byte_ms:.2f}' for run in runs)}")
        print(f"  alone in KiB: {' '.join(str(run.memory.alone or 'hidden') for run in runs)}")
        print(f"  PSS in KiB: {' '.join(str(run.memory.pss) for run in runs)}")
        print(f"  private in KiB: {' '.join(str(run.memory.private) for run in runs)}")
        print(f"  the guest's, left out, in KiB: {' '.join(str(run.memory.guest) for run in runs)}")
    medians = {name: Medians.of(runs) for name, runs in samples.items()}
    print(f"\nmedians, and ratios to {QEMU}; alone: PSS as if nobody else mapped the same files")
    print(table(medians, QEMU))
    lines = budget_lines(medians[BULKHEAD], medians[QEMU])
    few, many = (medians.get(with_devices(count)) for count in (BUDGETED_DEVICES, MOST_DEVICES))
    if few is not None and many is not None:
        lines += device_budget_lines(few, BUDGETED_DEVICES, many, MOST_DEVICES, medians[QEMU])
    for line in lines:
        print(line)
    return 0 if all(line.kept() for line in lines) else STATUS_OVER_BUDGET
