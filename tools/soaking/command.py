"""The command `tools/soak`."""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.guest.bare_metal_image import BareMetalImages
from tools.descendants import adopt_orphans, end_children
from tools.ended_by_signal import ended_by_signal
from tools.soaking.actions import end, perform
from tools.soaking.plan import ACTIONS, ENDS, VmPlan, plans
from tools.soaking.qmp_client import QmpError
from tools.soaking.soaked_vm import SoakedVm, SoakError

CHECKOUT = Path(__file__).resolve().parents[2]
LOG_TAIL_LINES = 40
MOST_HOURS = 10_000
ENDED_WITHIN_S = 10.0
_HELP = """Run real VMs with a guest that checks its disks and its entropy devices, and do to them at random
what happens to VMs: device processes, zygote and spawner are killed or stopped, or hang until main finds it,
QMP stops, resets and asks, clients send garbage or come and go, VMs end and others start. Everything is drawn
from a seed, which is printed first. Exit status 1, with seed, step and log, as soon as something isn't as it
must be. Ctrl-C ends it with the summary; no process and no file stays, whatever signal ends it."""


class Soak:
    """A run, and what it counts."""

    def __init__(self, program: str, directory: Path, *, verbose: bool) -> None:
        """build_kernel() must follow."""
        self._program = program
        self._directory = directory
        self._verbose = verbose
        self.counts: Counter[str] = Counter()
        self.vms = 0
        self.flushed_sectors = 0
        self.slowest_qmp_s = 0.0
        self.step = "nothing yet"
        self._vm: SoakedVm | None = None

    def build_kernel(self) -> None:
        """Makes the guest that all VMs run."""
        kernels = self._directory / "kernels"
        kernels.mkdir()
        self._kernel = BareMetalImages(kernels).pvh

    def run_vm(self, plan: VmPlan, until: float) -> None:
        """One VM from its start to its end; its actions stop at a time.

        Raises:
            SoakError: Something isn't as it must be.
            QmpError: QMP doesn't do what it must.
        """
        directory = self._directory / f"vm{self.vms}"
        directory.mkdir()
        self.vms += 1
        self._say(
            f"VM {self.vms}: {plan.device_names}, {plan.cpus} CPUs, {len(plan.actions)} actions", "start"
        )
        vm = self._vm = SoakedVm(plan, self._program, self._kernel, directory)
        vm.come_up()
        for number, action in enumerate(plan.actions, start=1):
            if time.monotonic() > until:
                break
            self._say(f"VM {self.vms}, step {number}: {action}", action.name)
            perform(vm, action)
        self._say(f"VM {self.vms}, its end: {plan.end}", plan.end)
        end(vm, plan.end)
        self.flushed_sectors += vm.flushed_sectors
        self.slowest_qmp_s = max(self.slowest_qmp_s, vm.slowest_qmp_s)
        self._vm = None
        vm.close()
        shutil.rmtree(directory)

    def _say(self, step: str, counted: str) -> None:
        self.step = step
        self.counts[counted] += 1
        if self._verbose:
            print(step, flush=True)

    def close(self) -> None:
        """Ends the VM that is under way, if there is one."""
        if self._vm is not None:
            self._vm.close()

    def log_tail(self) -> list[str]:
        """The last lines of the VM's log."""
        return [] if self._vm is None else self._vm.log_lines()[-LOG_TAIL_LINES:]

    def summary(self) -> str:
        """What was done, how often."""
        lines = [f"{name}: {self.counts[name]}" for name in ("start", *ACTIONS, *ENDS)]
        lines.append(f"sectors written, flushed and found again: {self.flushed_sectors}")
        slowest_s = max(self.slowest_qmp_s, 0.0 if self._vm is None else self._vm.slowest_qmp_s)
        lines.append(f"slowest answer of QMP: {f'{slowest_s:.3f} s' if slowest_s else 'nothing was asked'}")
        return "\n".join(lines)


def main(arguments: Sequence[str]) -> int:
    """Soaks; returns the exit status."""
    parser = argparse.ArgumentParser("tools/soak", description=_HELP)
    parser.add_argument("hours", type=_hours, metavar="HOURS", help="for how long, such as 0.05")
    parser.add_argument("--seed", type=int, help="repeats the decisions of the run that printed it")
    parser.add_argument("--verbose", action="store_true", help="say each step")
    given = parser.parse_args(arguments)
    seed = random.SystemRandom().getrandbits(32) if given.seed is None else given.seed
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also if whoever started this had it ignored
    with ended_by_signal((signal.SIGTERM, signal.SIGHUP)):
        print(f"seed: {seed}", flush=True)
        program = os.environ.get("BULKHEAD_PROGRAM") or str(CHECKOUT / ".venv" / "bin" / "bulkhead")
        adopt_orphans()
        directory = Path(tempfile.mkdtemp(prefix="bulkhead-soak-"))
        os.environ["TMPDIR"] = str(directory)  # a compiler that is killed leaves files
        try:
            return _soak(program, directory, seed, given.hours, verbose=given.verbose)
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            left = end_children(ENDED_WITHIN_S)
            shutil.rmtree(directory)
            if left:
                print("; ".join(left), file=sys.stderr)


def _soak(program: str, directory: Path, seed: int, hours: float, *, verbose: bool) -> int:
    """The run itself; its caller removes what it leaves."""
    soak, status = Soak(program, directory, verbose=verbose), 0
    try:
        soak.build_kernel()
        until = time.monotonic() + hours * 3600
        for plan in plans(seed):
            if time.monotonic() > until:
                break
            soak.run_vm(plan, until)
    except KeyboardInterrupt:
        print("interrupted")
    except (SoakError, QmpError, OSError) as error:
        print(f"{soak.summary()}\nseed {seed}; {soak.step}\nFAILED: {error}", file=sys.stderr)
        print("\n".join(soak.log_tail()), file=sys.stderr)
        status = 1
    soak.close()
    if status == 0:
        print(soak.summary())
    return status


def _hours(text: str) -> float:
    try:
        hours = float(text)
    except ValueError:
        hours = 0.0
    if not 0 < hours <= MOST_HOURS:
        raise argparse.ArgumentTypeError(f"{text!r} isn't a number of hours above 0, at most {MOST_HOURS}")
    return hours
