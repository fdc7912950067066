"""One virtio device for as long as the VM lives: what outlives its processes, and its moves between states.

What a replacement gets: the same back ends, guest memory, kick and call eventfds, the features and the config
space that were cached when the first process became ready, and the driver's rings. Everything here runs on
the supervisor's event loop; what vCPU threads call is in driver_side.py.
"""

from __future__ import annotations

import _thread
import posix as os
import time

from ipc.messages import Message, vocabulary_for
from vmm_main.device_supervisor import device_state
from vmm_main.device_supervisor.cause_of_death import Death
from vmm_main.device_supervisor.delayed_start import DelayedStart
from vmm_main.device_supervisor.device_counters import DeviceCounters
from vmm_main.device_supervisor.device_process import DeviceProcess, ProcessListener
from vmm_main.device_supervisor.device_setup import configure_fields
from vmm_main.device_supervisor.device_state import (
    CONFIGURED,
    DEAD,
    DYING,
    NEEDS_RESET,
    PAUSED,
    READY,
    RUNNING,
    STOPPED,
)
from vmm_main.device_supervisor.driver_side import DriverSide
from vmm_main.device_supervisor.held_descriptors import HeldDescriptors
from vmm_main.device_supervisor.restart_policy import LONGEST_DELAY_S, RestartPolicy
from vmm_main.errors import HostError
from vmm_main.log import Logger

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from device_procs.device_module import DeviceModule, DevicePlan
    from vmm_main.device_supervisor.device_setup import DriverRings
    from vmm_main.device_supervisor.opened_resource import OpenedResource
    from vmm_main.device_supervisor.supervisor import DeviceSupervisor

_log = Logger("supervisor")


class SupervisedDevice(DriverSide, ProcessListener):
    """The device, and the owner of its processes."""

    __slots__ = ("_features_known", "_next_start", "_operator_restart", "_policy", "_quiesced", "_rings",
                 "_state_record", "_vocabulary", "_waiting_resets", "counters", "gid", "held", "is_stuck",
                 "last_cause", "module", "on_death", "on_restart_limit", "plan", "process", "restarts",
                 "since_s", "start_deaths", "state", "uid")  # fmt: skip

    def __init__(
        self,
        supervisor: DeviceSupervisor,
        device_id: str,
        module: DeviceModule,
        plan: DevicePlan,
        backends: tuple[OpenedResource, ...],
        *,
        on_death: str,
        on_restart_limit: str,
        uid: int,
        gid: int,
    ) -> None:
        """Takes over backends; start() makes the first process."""
        super().__init__(supervisor, device_id, module, plan)
        self.module = module
        self.plan = plan
        self.held = HeldDescriptors(module, plan, backends)
        self.counters = DeviceCounters(module.counters, len(plan.queue_sizes))
        self.on_death = on_death
        self.on_restart_limit = on_restart_limit
        self.uid = uid
        self.gid = gid
        self._features_known = False
        self.state = DEAD
        self.since_s = time.time()
        self.restarts = 0
        self.is_stuck = False  # killed, and not dead by its deadline
        self.start_deaths = 0  # of processes before the first that became ready
        self.last_cause: str | None = None
        self._vocabulary = vocabulary_for(module.config_schema, module.state_schema, module.metrics_schema)
        self._policy = RestartPolicy(time.monotonic(), supervisor.restart_limit)
        self.process: DeviceProcess | None = None  # the current one
        self._rings: DriverRings | None = None
        self._state_record: dict[str, Any] | None = None
        self._waiting_resets: list[_thread.LockType] = []
        self._quiesced = True
        self._next_start = DelayedStart(supervisor.loop, self.start)
        self._operator_restart = False

    # What the supervisor calls.

    @property
    def is_reset(self) -> bool:
        """Whether no reset is under way."""
        return not self._waiting_resets

    @property
    def is_quiet(self) -> bool:
        """Whether nothing works on the rings, nor will before resume()."""
        return self._quiesced

    def start(self) -> None:
        """Has a process made; CONFIGURE goes out as soon as there is guest memory to tell of."""
        self._next_start.cancel()
        self._move(CONFIGURED)
        supervisor = self._supervisor
        try:
            self.process = DeviceProcess(
                supervisor.loop,
                self.device_id,
                self._vocabulary,
                self,
                deadlines=supervisor.deadlines,
                trace=supervisor.trace,
                counters=self.counters,
                last_io=self.held.make_last_io(),
                backends=self.held.named,
            )
        except HostError as error:
            self._move(DYING)
            self._is_dead(None, 0.0, Death(f"was never made: {error}", is_fault=False))
            return
        supervisor.make_process(self, self.process)
        if self._supervisor.memory_regions is not None:
            self.configure()

    def configure(self) -> None:
        """Tells the process what it is and gives it its descriptors."""
        process, held = self.process, self.held
        assert process is not None
        memory_fd, regions = self._supervisor.memory()
        backends = (*held.backends, *process.last_io_fds)
        fields = configure_fields(
            held,
            regions,
            backends=len(backends),
            queues=len(self.queue_max_sizes),
            seccomp=self._supervisor.seccomp,
            state=self._state_record,
            is_successor=self._features_known,
        )
        fds = (memory_fd, *backends, *self.kick_fds, *self.call_fds, *held.log_fds)
        process.send("CONFIGURE", fields, fds)
        process.gave_descriptors()

    def begin_quiesce(self) -> None:
        """The VM stops: finish what is begun, then nothing more."""
        self._quiesced = self.state not in (RUNNING, DYING)  # a dying one is quiet when it is reaped
        if self.state == RUNNING:
            assert self.process is not None
            deadline_s = self._supervisor.deadlines.quiesce_s
            self.process.request("QUIESCE", deadline_s, self._on_quiesced, "QUIESCED")

    def resume(self) -> None:
        """The VM runs (again)."""
        if self.state == PAUSED:
            if self._rings is None:
                return  # its driver's reset is under way
            self._move(RUNNING)
            for name, fields in self._rings.enable_messages():
                self.tell(name, fields)
        elif self.state == STOPPED:
            self._policy = RestartPolicy(time.monotonic(), self._supervisor.restart_limit)
            self.start()

    def begin_reset(self, done: _thread.LockType) -> None:
        """Takes the rings away; done is released once nothing works on them any more."""
        self._rings = None
        self._state_record = None
        if self.state in (RUNNING, PAUSED) or (self.state == NEEDS_RESET and self.process is not None):
            assert self.process is not None
            if not self._waiting_resets:
                deadline_s = self._supervisor.deadlines.reset_s
                self.process.request("RESET_DEVICE", deadline_s, self._on_reset, "RESET_DONE")
            self._waiting_resets.append(done)
        elif self.state == DYING:
            self._waiting_resets.append(done)  # killed, not reaped: not before it is gone
        else:
            if self.state == NEEDS_RESET:
                # Also when none is left: it is the driver that asks. But no faster than any restart.
                self._move(DEAD)
                delay_s = self._policy.next_delay_s(time.monotonic(), 0.0)
                self._next_start.after(LONGEST_DELAY_S if delay_s is None else delay_s)
            done.release()

    def request_metrics(self, on_answer: Callable[[dict[str, Any]], None]) -> bool:
        """Asks the process what it has counted; False if there is none that could answer now."""
        if self.process is None or self.state not in (READY, RUNNING, PAUSED):
            return False
        deadline_s = self._supervisor.deadlines.quiesce_s
        self.process.request("GET_METRICS", deadline_s, lambda message: on_answer(message.fields), "METRICS")
        return True

    def restart(self) -> None:
        """The operator's wish: a new process, whatever the policy says."""
        if self.process is not None:
            self._operator_restart = True
            self.process.kill(None)
        else:
            self.start()

    def kill(self, reason: str | None) -> None:
        """Kills the process, if there is one."""
        if self.process is not None:
            self.process.kill(reason)

    def close(self) -> None:
        """Closes what outlives the processes; they must be gone."""
        self._next_start.cancel()
        for fd in (*self.kick_fds, *self.call_fds):
            os.close(fd)
        self.held.close()

    # What the process says.

    def process_said(self, message: Message) -> None:
        """Every message is good in some states only."""
        name, fields = message.name, message.fields
        assert self.process is not None
        if name == "READY" and self.state == CONFIGURED:
            self._on_ready(fields["features"], fields["config"])
        elif name == "BIRTH_CERTIFICATE" and self.state == CONFIGURED and self.process.certificate is None:
            self.process.certificate = fields["text"]
        elif name == "LOG":
            self._supervisor.log_for(self.device_id, fields["level"], fields["text"])
        elif name == "NEEDS_RESET" and self.state in (RUNNING, PAUSED):
            self._rings = None  # a successor, too, waits for the driver's reset
            self._give_up(ascii(fields["reason"])[1:-1])
        elif name == "STATE" and self.state in (READY, RUNNING, PAUSED):
            self._state_record = None if self._waiting_resets else fields["record"]  # not the last driver's
        elif name == "CONFIG_CHANGED" and self.state in (READY, RUNNING, PAUSED):
            self._change_config(fields["config"])
        elif name != "NEEDS_RESET" or self.state not in (READY, NEEDS_RESET):
            # Otherwise said before it heard of the reset, or said twice.
            self.process.kill(f"sent {name} while {self.state}")

    def process_is_dying(self) -> None:
        """It was killed, or has let go of its socket."""
        if self.state != DYING:
            self._move(DYING)

    def process_stays(self) -> None:
        """It hangs in the kernel: nothing may restart, and the driver must know."""
        self.is_stuck = True
        self.last_cause = "can't be killed"
        _log.error(f"device {self.device_id}: its process doesn't die; the device fails")
        self._supervisor.report_needs_reset(self.device_id, "its process can't be killed")
        if self.transport is not None:
            self.transport.needs_reset()

    def process_died(self, death: Death) -> None:
        """It is reaped: what waited for that goes on, and the policy decides."""
        process, self.process = self.process, None
        assert process is not None
        life_s = 0.0 if process.ready_at_s is None else time.monotonic() - process.ready_at_s
        self._is_dead(process.pid, life_s, death)

    def _is_dead(self, pid: int | None, life_s: float, death: Death) -> None:
        self._move(DEAD)
        self.is_stuck = False
        self._quiesced = True
        # Before the policy: a CPU that waits for its reset may have to park for what that says.
        self._end_resets()
        if self._supervisor.is_closing:
            return
        asked, self._operator_restart = self._operator_restart, False
        cause = "replaced by device_process_restart" if asked and not death.is_fault else death.cause
        self.last_cause = cause
        self.start_deaths += not self._features_known
        (_log.info if asked else _log.warning)(f"device {self.device_id}: process {pid or '(none)'} {cause}")
        if death.is_fault:
            self._supervisor.replace_zygote()
        verdict = "restart" if asked else self.on_death
        delay_s: float | None = 0.0
        if not asked and verdict == "restart":
            delay_s = self._supervisor.restart_delay_s(self, self._policy, life_s)
            if delay_s is None:
                verdict = self.on_restart_limit
        told = {"id": self.device_id, "pid": pid or 0, "cause": cause, "action": verdict}
        self._supervisor.emit("DEVICE_PROCESS_DIED", told)
        self._carry_out(verdict, delay_s or 0.0, cause)

    # The moves.

    def _move(self, state: str) -> None:
        if self.state != state:
            self.state = device_state.move(self.state, state)
            self.since_s = time.time()

    def take_rings(self, rings: DriverRings) -> None:
        """The driver has set up its rings."""
        self.held.driver_begins()
        self._rings = rings
        if self.state == READY:
            self._give_rings(fresh=True)
        elif self.state == NEEDS_RESET and self.transport is not None:
            self.transport.needs_reset()  # the driver's reset has cleared what it was told before

    def _on_ready(self, features: int, config: bytes) -> None:
        assert self.process is not None
        if self._features_known and (features, len(config)) != (self.features, len(self.config_space)):
            self.process.kill("came back with other features or another config space")
            return
        is_restart = self._features_known
        self._features_known = True
        self.features = features
        self.process.became_ready()
        self._move(READY)
        if not is_restart:
            self.config_space = config
            if self.transport is not None:
                self.transport.config_changed(config)
            if self._rings is not None:
                self._give_rings(fresh=True)
            return
        self.restarts += 1
        told = {"id": self.device_id, "pid": self.process.pid or 0, "restarts": self.restarts}
        self._supervisor.emit("DEVICE_PROCESS_RESTARTED", told)
        if config != self.config_space:
            self._change_config(config)
        if self._rings is not None:
            self._give_rings(fresh=False)

    def _give_rings(self, *, fresh: bool) -> None:
        """Sends the rings. Fresh ones begin at 0; a successor finds out where its predecessor was."""
        assert self._rings is not None
        for name, fields in self._rings.setup_messages(fresh=fresh):
            self.tell(name, fields)
        if self.state != READY:  # it was lost while it was told
            return
        self._move(PAUSED)
        if self._supervisor.vm_runs:
            self._quiesced = False
            self.resume()

    def _on_quiesced(self, message: Message) -> None:
        assert self.process is not None
        if len(message.fields["bases"]) != len(self.queue_max_sizes):
            self.process.kill("sent QUIESCED with another number of queues")
            return
        self._quiesced = True
        if self.state == RUNNING:
            self._move(PAUSED)

    def _on_reset(self, _message: Message) -> None:
        if self.state in (RUNNING, PAUSED, NEEDS_RESET):
            self._move(READY)
        self._quiesced = True
        self._end_resets()

    def _end_resets(self) -> None:
        waiting, self._waiting_resets = self._waiting_resets, []
        for done in waiting:
            done.release()
        if waiting and self._rings is not None and self.state == READY:
            self._give_rings(fresh=True)

    def _give_up(self, reason: str) -> None:
        """The device can't go on before the driver resets it."""
        self._supervisor.report_needs_reset(self.device_id, reason)
        self._move(NEEDS_RESET)
        self._quiesced = True
        if self.transport is not None:
            self.transport.needs_reset()

    def _carry_out(self, verdict: str, delay_s: float, cause: str) -> None:
        if verdict == "restart":
            self._next_start.after(delay_s)
        elif verdict == "needs-reset":
            self._give_up(f"its process is gone: {cause}")
        else:
            self._move(STOPPED)
            # Not from in here: whoever stops the VM waits for its CPUs and for all its devices.
            self._supervisor.loop.call_soon(lambda: self._stop_vm(cause))

    def _stop_vm(self, cause: str) -> None:
        if self.state == STOPPED:  # or somebody has restarted it meanwhile
            self._supervisor.pause_vm(f"device {self.device_id}: its process is gone: {cause}")

    def _change_config(self, config: bytes) -> None:
        assert self.process is not None
        if len(config) != len(self.config_space):
            self.process.kill("changed the size of its config space")
            return
        self.config_space = config
        if self.transport is not None:
            self.transport.config_changed(config)

    def tell(self, name: str, fields: dict[str, Any]) -> None:
        """Sends the process a message, if there is one that is ready."""
        if self.process is not None and self.state in (READY, RUNNING, PAUSED):
            self.process.send(name, fields)
