"""One VM of a soak: its processes, its clients, and what is held against it at every step."""

from __future__ import annotations

import os
import subprocess
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from tools.descendants import children_of, orphans
from tools.soaking import ledger
from tools.soaking.host_traces import left_in, mounts_and_memory, stays_locked, vitals_of
from tools.soaking.plan import VmPlan
from tools.soaking.qmp_client import QmpClient
from tools.soaking.serial_watch import SerialWatch
from tools.soaking.waiting import wait_until

# They catch hangs: a VM on a busy machine needs a tenth of each.
QMP_DEADLINE_S = 20.0
PROGRESS_DEADLINE_S = 60.0
END_DEADLINE_S = 30.0
REAPED_WITHIN_S = 5.0
# Main's own, until it takes a device's process for hung. It is waited for, so it is short; a busy machine
# keeps a process that is well from answering for a tenth of it.
BEAT_S, HANG_S = 0.5, 4.0
# Python's own coming and going; a leak shows over many actions.
MEMORY_MAY_GROW_KIB = 6 << 10
ZYGOTE, SPAWNER = "zygote", "bulkhead-spawn"
FAULTS_IN_THE_LOG = ("Traceback", "refused system call", "Sanitizer")


class SoakError(Exception):
    """Something isn't as it must be."""


class SoakedVm:
    """A VM that runs the soaking guest.

    Attributes:
        qmp: A client of its monitor.
        serial: The guest's console.
        expected: Processes that are to die, or may, and how the causes may begin.
        pids: Of device processes that were seen, by device.
    """

    def __init__(self, plan: VmPlan, program: str, kernel: Path, directory: Path) -> None:
        """Starts the process; come_up() must follow."""
        self.plan = plan
        self.directory = directory
        self._before = mounts_and_memory()
        self.expected: dict[int, tuple[str, ...]] = {}
        self._flushed: dict[str, int] = {}
        self.images = [directory / f"disk{number}" for number in range(len(plan.disks))]
        for image, disk in zip(self.images, plan.disks, strict=True):
            image.write_bytes(ledger.BLANK_SECTOR * disk.sectors)
        self.log = directory / "log"
        self._clients = ExitStack()
        self._errors = (directory / "errors").open("wb")
        command = [program, *self._arguments(kernel)]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=self._errors,
            stderr=self._errors,
            cwd=directory,
            env={**os.environ, "BULKHEAD_DEADLINES": f"beat_s={BEAT_S:g},hang_s={HANG_S:g}"},
        )
        self.serial = SerialWatch(str(directory / "console"))

    def come_up(self) -> None:
        """Waits until the guest works.

        Raises:
            SoakError: It doesn't.
            QmpError: There is no QMP.
        """
        try:
            there = (self.directory / "qmp").exists
            wait_until(lambda: there() or self.process.poll() is not None, QMP_DEADLINE_S)
            if self.process.poll() is not None:
                raise SoakError(f"the VM ended at its start: {self.errors()}")
            self.serial.connect(QMP_DEADLINE_S)
            self.qmp = self._clients.enter_context(
                closing(QmpClient(str(self.directory / "qmp"), QMP_DEADLINE_S))
            )
        except TimeoutError as error:
            raise SoakError(f"{error}: {self.errors()}") from error
        if not self.serial.wait_for_boot(0, PROGRESS_DEADLINE_S):
            raise SoakError("the guest doesn't boot")
        self.wait_for_progress(1)
        self.vitals = vitals_of(self.process.pid)

    @property
    def slowest_qmp_s(self) -> float:
        """The longest that an answer of its monitor took; 0 if it hasn't come up."""
        return self.qmp.slowest_s if hasattr(self, "qmp") else 0.0

    def _arguments(self, kernel: Path) -> list[str]:
        plan, source = self.plan, "zero" if self.plan.zeros else "urandom"
        append = (
            f"test=soak nonce={plan.nonce:#x} span={plan.span} resets={plan.resets} zeros={int(plan.zeros)}"
        )
        words = ["-name", "soak", "-kernel", str(kernel), "-append", append, "-smp", str(plan.cpus)]
        words += ["-m", str(plan.memory_mib), "-D", str(self.log)]
        words += ["-qmp", "unix:qmp,server,nowait", "-qmp", "unix:garbage,server,nowait"]
        words += ["-chardev", "socket,id=console,path=console,server,nowait", "-serial", "chardev:console"]
        for number, options in enumerate(plan.entropy):
            words += ["-object", f"rng-random,id=r{number},filename=/dev/{source}"]
            words += ["-device", f"virtio-rng-device,rng=r{number},id=rng{number}{options}"]
        for number, disk in enumerate(plan.disks):
            words += ["-drive", f"id=d{number},file={self.images[number]}{disk.options}"]
            words += ["-device", f"virtio-blk-device,drive=d{number},id=blk{number}"]
        return words

    def slot(self, device: str) -> str:
        """The letter by which the guest tells of a device."""
        return chr(ord("a") + self.plan.device_names.index(device))

    def device_processes(self) -> dict[str, dict[str, Any]]:
        """What QMP says of each."""
        return {each["id"]: each for each in self.qmp.ask("query-device-processes")}

    def child(self, name: str) -> int:
        """The pid of main's child with such a name; 0 if there is none."""
        return next((pid for pid, called in children_of(self.process.pid).items() if called == name), 0)

    def wait_until_gone(self, pid: int) -> None:
        """Waits until main has reaped a child.

        Raises:
            SoakError: It hasn't within the deadline.
        """
        if not wait_until(lambda: pid not in children_of(self.process.pid), QMP_DEADLINE_S):
            raise SoakError(f"process {pid} was killed, and isn't reaped")

    def wait_for_progress(self, rounds: int) -> None:
        """Waits until every device has done some work, so many times.

        Raises:
            SoakError: One does none, or does it wrong.
        """
        for _ in range(rounds):
            for device in self.plan.device_names:
                name = f"answers-{self.slot(device)}"
                if not self.serial.wait_beyond(name, self.serial.value(name), PROGRESS_DEADLINE_S):
                    raise SoakError(f"{device} does nothing any more")
        self._check_data()

    def _check_data(self) -> None:
        if wrong := self.serial.wrong():
            raise SoakError(f"the guest got what is wrong: {wrong}")
        for device in self.plan.device_names[len(self.plan.entropy) :]:
            slot = self.slot(device)
            flushed = self._flushed.get(device, 0)
            for found in self.serial.take_found(f"found-{slot}"):
                if flushed > 0 and (found == ledger.NEVER_WRITTEN or found < flushed - 1):
                    raise SoakError(f"{device}: {flushed} sectors were flushed, a boot found up to {found}")
            self._flushed[device] = max(flushed, self.serial.value(f"flushed-{slot}"))

    def check_events(self) -> None:
        """Takes the events that have come.

        Raises:
            SoakError: One says what nobody has caused.
        """
        for event in self.qmp.events:
            name, data = event["event"], event.get("data", {})
            if name == "DEVICE_PROCESS_DIED":
                causes = self.expected.get(data["pid"])
                if causes is None or not data["cause"].startswith(causes):
                    raise SoakError(f"{data}; expected: {causes or 'nothing'}")
            elif name not in ("DEVICE_PROCESS_RESTARTED", "STOP", "RESUME", "RESET"):
                raise SoakError(f"an event that nobody has caused: {event}")
            elif name == "STOP" and data:
                raise SoakError(f"the VM has stopped by itself: {data}")
        self.qmp.events.clear()

    def check_vitals(self) -> None:
        """Waits until main holds no more than at the beginning.

        Raises:
            SoakError: It goes on holding more.
        """
        grown: list[str] = []

        def no_more_than_before() -> bool:
            grown[:] = vitals_of(self.process.pid).grown(self.vitals, MEMORY_MAY_GROW_KIB)
            return not grown

        if not wait_until(no_more_than_before, QMP_DEADLINE_S):
            raise SoakError("; ".join(grown))

    def expect_end(self, status: int, *, may_leave: tuple[str, ...] = ()) -> None:
        """Waits for main's end, and looks at all that it might have left.

        Raises:
            SoakError: There is something, or data is lost.
        """
        try:
            ended = self.process.wait(END_DEADLINE_S)
        except subprocess.TimeoutExpired:
            raise SoakError("main doesn't end") from None
        if ended != status:
            raise SoakError(f"main ended with {ended}, not {status}: {self.errors()}")
        self.qmp.close()
        self.serial.disconnect()
        self._check_data()
        left = orphans(END_DEADLINE_S)
        allowed = {"log", "errors", *(image.name for image in self.images), *may_leave}
        left += left_in(self.directory, allowed)
        left += sorted(mounts_and_memory() - self._before)
        left += [f"{image} is still locked" for image in self.images if stays_locked(image, END_DEADLINE_S)]
        if left:
            raise SoakError("; ".join(left))
        for number, image in enumerate(self.images):
            device = f"blk{number}"
            key = self.plan.nonce + ord(self.slot(device)) - ord("a")
            lost = list(ledger.losses(image.read_bytes(), key, self._flushed.get(device, 0)))
            if lost:
                raise SoakError(f"{device}: {'; '.join(lost[:3])} ({len(lost)} sectors)")
        faults = [line for line in self.log_lines() if any(fault in line for fault in FAULTS_IN_THE_LOG)]
        if faults or self.errors():
            raise SoakError(f"said at the end: {faults} {self.errors()}")

    @property
    def flushed_sectors(self) -> int:
        """How many sectors were written and flushed."""
        return sum(self._flushed.values())

    def log_lines(self) -> list[str]:
        """What the log has."""
        return (
            self.log.read_text(encoding="utf-8", errors="replace").splitlines() if self.log.exists() else []
        )

    def errors(self) -> str:
        """What came on standard error."""
        return (self.directory / "errors").read_text(encoding="utf-8", errors="replace")

    def close(self) -> None:
        """Ends it without a look; also when it has ended already."""
        self.process.kill()
        self.process.wait()
        self.serial.disconnect()
        self._clients.close()
        self._errors.close()
        orphans(REAPED_WITHIN_S)
