"""All device processes of one VM: their zygote, their start together, stop and cont, their end.

It has an event loop of its own, nested in main's: while main waits for something that devices must do (a
start, a stop, a reset at reboot), it runs this one alone, and nothing of QMP or of chardevs comes in
between.
"""

from __future__ import annotations

import _thread
import time

from ipc.channel import ChannelError
from ipc.zygote_messages import PROCESS_NAME_CHARACTERS
from vmm_main.device_supervisor.deadlines import Deadlines
from vmm_main.device_supervisor.device_state import DYING, NEEDS_RESET, READY, STOPPED
from vmm_main.device_supervisor.report_limit import ReportLimit
from vmm_main.device_supervisor.restart_policy import RESTARTS_AT_ONCE
from vmm_main.device_supervisor.supervised_device import SupervisedDevice
from vmm_main.device_supervisor.zygote_supply import ZygoteSupply
from vmm_main.errors import HostError
from vmm_main.log import Logger

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from device_procs.device_module import DeviceModule, DevicePlan
    from vmm_main.device_supervisor.device_process import DeviceProcess
    from vmm_main.device_supervisor.driver_side import DriverSide
    from vmm_main.device_supervisor.opened_resource import OpenedResource
    from vmm_main.device_supervisor.restart_policy import RestartPolicy
    from vmm_main.device_supervisor.spawner import Spawner
    from vmm_main.device_supervisor.uid_lease import UidLease
    from vmm_main.event_loop import EventLoop
    from vmm_main.guest_memory import GuestMemory


# At the start of the VM a device that dies this often gives up: nobody waits for twenty tries of a hopeless
# one.
_START_TRIES = 3

# A device process's own limits (DESIGN §6). Private memory: what Python and its threads' stacks need, with
# room.
_DESCRIPTORS = 256
_DATA_BYTES = 256 << 20

_log = Logger("supervisor")


class DeviceSupervisor:
    """Supervises; all methods are for the main thread."""

    __slots__ = ("_events", "_is_watched", "_lease", "_memory_fd", "_pause", "_report_limits",
                 "_resets_until_s", "_thread", "_zygotes", "deadlines", "devices", "is_closing", "loop",
                 "memory_regions", "restart_limit", "seccomp", "trace", "vm_runs")  # fmt: skip

    def __init__(
        self,
        loop: EventLoop,
        spawner: Spawner,
        first_zygote: int,
        lease: UidLease,
        *,
        seccomp: bool,
        trace: Callable[[str], None] | None = None,
        restart_limit: int = RESTARTS_AT_ONCE,
        deadlines: Deadlines | None = None,
    ) -> None:
        """Takes over spawner, lease and the socket of the zygote that was asked for at main's entry."""
        self.loop = loop
        self.trace = trace
        self.seccomp = seccomp
        self.restart_limit = restart_limit
        self.devices: list[SupervisedDevice] = []
        self.is_closing = False
        self.vm_runs = False
        self.memory_regions: list[dict[str, Any]] | None = None
        self._memory_fd = -1
        self._is_watched = False
        self._resets_until_s = 0.0
        self._thread = _thread.get_ident()
        self._lease = lease
        self.deadlines = Deadlines() if deadlines is None else deadlines
        self._zygotes = ZygoteSupply(
            loop,
            spawner,
            first_zygote,
            deadlines=self.deadlines,
            device_pids=self._device_pids,
            trace=trace,
        )
        self._report_limits: dict[tuple[str, str], ReportLimit] = {}
        self._events: Callable[[str, dict[str, Any]], None] | None = None
        self._pause: Callable[[str], None] | None = None

    # The start.

    def add(
        self,
        device_id: str,
        module: DeviceModule,
        plan: DevicePlan,
        backends: tuple[OpenedResource, ...],
        *,
        on_death: str,
        on_restart_limit: str,
    ) -> None:
        """Adds a device and has its process made; it waits for configure_all()."""
        device = SupervisedDevice(
            self,
            device_id,
            module,
            plan,
            backends,
            on_death=on_death,
            on_restart_limit=on_restart_limit,
            uid=self._lease.uid_for(len(self.devices)),
            gid=self._lease.gid_for(len(self.devices)),
        )
        self.devices.append(device)
        device.start()

    def connect(self, emit: Callable[[str, dict[str, Any]], None], pause: Callable[[str], None]) -> None:
        """Takes where events go, and how the VM is paused (with the reason) when a policy says so."""
        self._events = emit
        self._pause = pause

    def configure_all(self, memory: GuestMemory) -> None:
        """Gives every process the guest's memory and its descriptors."""
        self._memory_fd = memory.fd
        self.memory_regions = [
            {"gpa": region.gpa, "size": region.size, "offset": region.offset, "writable": True}
            for region in memory.regions
        ]
        for device in self.devices:
            if device.process is not None:
                device.configure()

    def wait_ready(self) -> None:
        """Waits until every device is ready for its driver.

        Raises:
            HostError: One can't be; the text says why.
        """
        while True:
            unready = [device for device in self.devices if device.state != READY]
            if not unready:
                self._begin_to_watch()
                return
            for device in unready:
                given_up = device.state in (STOPPED, NEEDS_RESET) or device.is_stuck
                if given_up or device.start_deaths >= _START_TRIES:
                    raise HostError(
                        f"-device {device.module.driver},id={device.device_id}: {device.last_cause}"
                    )
            self.loop.run_once()

    def _begin_to_watch(self) -> None:
        """From now on hung processes are found; what that takes is imported when the guest runs."""

        def begin() -> None:
            from vmm_main.device_supervisor.heartbeat import Heartbeat

            Heartbeat(self).beat()

        if not self._is_watched:
            self._is_watched = True
            self.loop.call_later(self.deadlines.beat_s, begin)

    # Stop, cont, reboot.

    def quiesce(self) -> None:
        """The CPUs stand: has every device finish what it has begun; a late one is killed."""
        self.vm_runs = False
        for device in self.devices:
            device.begin_quiesce()
        self._wait(lambda: all(device.is_quiet for device in self.devices), self._quiet_s)

    @property
    def _quiet_s(self) -> float:
        """Until quiesce() gives up: the late are killed, and reaped."""
        return self.deadlines.quiesce_s + self.deadlines.reap_s

    def resume(self) -> None:
        """The CPUs are about to run: devices go on, and those that a policy had stopped are made again."""
        self.vm_runs = True
        for device in self.devices:
            device.resume()

    def begin_resets(self) -> None:
        """A reboot: asks all devices at once, so that it takes no longer if several are silent."""
        self._resets_until_s = time.monotonic() + self.deadlines.whole_reset_s
        for device in self.devices:
            self._begin_reset(device)

    def reset_now(self, device: DriverSide) -> bool:
        """Takes a device's rings away, in a reboot, and waits until nothing works on them.

        Returns:
            False: the process that was killed for that doesn't die.
        """
        self._begin_reset(device)
        self._wait(lambda: device.is_reset, self._resets_until_s - time.monotonic())
        return device.is_reset

    @staticmethod
    def _begin_reset(device: DriverSide) -> None:
        done = _thread.allocate_lock()
        done.acquire()
        device.begin_reset(done)

    def is_on_its_thread(self) -> bool:
        """Whether the caller is the thread that the event loop runs on."""
        return _thread.get_ident() == self._thread

    def metrics_of(self, device: SupervisedDevice) -> dict[str, Any] | None:
        """What a device has counted, or None if it doesn't answer: main waits a moment only, and once."""
        answers: list[dict[str, Any]] = []
        asked = device.process
        if asked is None or asked.is_silent:
            return None

        def take(metrics: dict[str, Any]) -> None:
            asked.is_silent = False
            answers.append(metrics)

        if device.request_metrics(take):
            # One that is dying won't answer; its successor wasn't asked.
            self._wait(
                lambda: bool(answers) or device.process is not asked or device.state == DYING,
                self.deadlines.metrics_s,
            )
            asked.is_silent = not answers
        return answers[0] if answers else None

    def _wait(self, is_done: Callable[[], bool], deadline_s: float) -> None:
        until_s = time.monotonic() + deadline_s
        while not is_done() and (left_s := until_s - time.monotonic()) > 0:
            self.loop.run_once(left_s)

    # What devices need of it.

    def memory(self) -> tuple[int, list[dict[str, Any]]]:
        """The descriptor of guest memory and its table."""
        assert self.memory_regions is not None
        return self._memory_fd, self.memory_regions

    def limits_of(self, device: SupervisedDevice) -> dict[str, int]:
        """The resource limits of a device's processes."""
        return {"nofile": _DESCRIPTORS, "fsize": device.held.file_bytes, "data": _DATA_BYTES}

    @property
    def open_fds(self) -> list[tuple[str, int]]:
        """What main has open for processes and their uids, but for what its devices hold; what each is."""
        sockets = [
            (f"control socket of {device.device_id}", fd)
            for device in self.devices
            if device.process is not None
            for fd in device.process.open_sockets
        ]
        locks = [("lock of uids", fd) for fd in self._lease.lock_fds]
        return [*self._zygotes.open_sockets, *sockets, *locks]

    @property
    def spawner_pid(self) -> int | None:
        """The spawner, if it is there."""
        return self._zygotes.spawner_pid

    @property
    def zygote_pids(self) -> list[int]:
        """The zygotes that aren't reaped."""
        return self._zygotes.zygote_pids

    def make_process(self, device: SupervisedDevice, process: DeviceProcess) -> None:
        """Asks the zygote for a process; its answer goes to process.made()."""
        fields = {
            "kind": device.module.kind,
            "name": device.device_id[:PROCESS_NAME_CHARACTERS],
            "host_uid": device.uid,
            "host_gid": device.gid,
            "limits": self.limits_of(device),
            "seccomp": self.seccomp,
        }
        try:
            self._zygotes.current().make_device(fields, process.descriptors, process.made)
        except (ChannelError, OSError) as error:
            reason = str(error)
            self.loop.call_soon(lambda: process.made(None, reason))

    def replace_zygote(self) -> None:
        """A device died by a fault: the next comes from a zygote with another layout."""
        try:
            self._zygotes.replace()
        except (ChannelError, OSError) as error:
            _log.error(f"no new zygote: {error}")

    def restart_delay_s(self, device: SupervisedDevice, policy: RestartPolicy, life_s: float) -> float | None:
        """How long to wait before a restart; None: they are used up."""
        delay_s = policy.next_delay_s(time.monotonic(), life_s)
        why = "its restarts are used up" if delay_s is None else "there is no zygote, nor can there be one"
        if delay_s is not None and self._zygotes.can_make:
            return delay_s
        _log.error(f"device {device.device_id}: {why}; {device.on_restart_limit} follows")
        return None

    def emit(self, name: str, data: dict[str, Any]) -> None:
        """An event for QMP."""
        if self._events is not None:
            self._events(name, data)

    def report_needs_reset(self, device_id: str, reason: str) -> None:
        """A device can't go on until its driver resets it: few drivers take notice, so people are told."""
        more = self._admit(device_id, "needs-reset")
        if more is not None:
            _log.warning(f"device {device_id} needs a reset: {reason}{more}")
            self.emit("DEVICE_NEEDS_RESET", {"id": device_id, "reason": reason})

    def pause_vm(self, reason: str) -> None:
        """Pauses the VM because of a device."""
        _log.error(f"the VM is paused: {reason}")
        if self._pause is not None:
            self._pause(reason)

    def report_slow_host(self, device_id: str, text: str) -> None:
        """A device waits for its back end: nothing is wrong with it, but people wonder."""
        more = self._admit(device_id, "slow host")
        if more is not None:
            _log.warning(f"device {device_id}: {text}{more}")

    def log_for(self, device_id: str, level: str, text: str) -> None:
        """Writes what a device process says to the log."""
        more = self._admit(device_id, "log")
        if more is not None:
            write = {"info": _log.info, "warning": _log.warning, "error": _log.error}[level]
            write(f"{device_id} says: {ascii(text)[1:-1]}{more}")

    def _admit(self, device_id: str, kind: str) -> str | None:
        """See ReportLimit.admit()."""
        now_s = time.monotonic()
        limit = self._report_limits.get((device_id, kind))
        if limit is None:
            limit = self._report_limits[device_id, kind] = ReportLimit(now_s)
        return limit.admit(now_s)

    def find(self, device_id: str) -> SupervisedDevice | None:
        """The device of that id."""
        return next((device for device in self.devices if device.device_id == device_id), None)

    # The end.

    def close(self) -> None:
        """Ends all processes and waits for them, a moment; what main leaves behind dies with it anyway."""
        self.is_closing = True
        for device in self.devices:
            device.kill("the VM ends")
        self._zygotes.begin_end()
        until_s = time.monotonic() + self.deadlines.end_s
        for device in self.devices:
            if device.process is not None and not device.process.wait_gone(until_s):
                _log.warning(f"device {device.device_id}: its process doesn't end")
        self._zygotes.finish_end(until_s)
        for device in self.devices:
            device.close()
        self._lease.close()

    def _device_pids(self) -> list[int]:
        processes = [device.process for device in self.devices]
        return [process.pid for process in processes if process is not None and process.pid is not None]
