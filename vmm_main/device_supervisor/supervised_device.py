"""One virtio device for as long as the VM lives: what outlives its processes, and its moves between states.

What a replacement gets: the same back ends, guest memory, kick and call eventfds, the features and the config
space that were cached when the first process became ready, and the driver's rings. Everything here runs on
the machine's event loop, but activate(), reset() and write_config(), which vCPU threads call.
"""

from __future__ import annotations

import _thread
import os
import time

from ipc.messages import PROTOCOL_VERSION, Message, vocabulary_for
from vmm_main.device_supervisor import device_state
from vmm_main.device_supervisor.device_process import DeviceProcess, ProcessListener
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
from vmm_main.device_supervisor.restart_policy import RestartPolicy
from vmm_main.log import Logger

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from device_procs.device_module import DeviceModule, DevicePlan
    from vmm_main.device_supervisor.cause_of_death import Death
    from vmm_main.device_supervisor.supervisor import DeviceSupervisor
    from vmm_main.event_loop import Timer
    from vmm_main.virtio_mmio.virtio_device import Transport, VringSetup

# A reset and a quiesce take microseconds to milliseconds; in the box, where everything is slow, a hundred
# times that.
RESET_DEADLINE_S = 5.0
QUIESCE_DEADLINE_S = 5.0

_log = Logger("supervisor")


class SupervisedDevice(ProcessListener):
    """The device as transports see it (virtio_mmio.virtio_device.VirtioDevice), and its processes' owner."""

    __slots__ = ("_backends", "_features_known", "_operator_restart", "_policy", "_process", "_quiesced",
                 "_restart_timer", "_rings", "_state_record", "_supervisor", "_vocabulary", "_waiting_resets",
                 "call_fds", "config_space", "device_id", "features", "kick_fds", "last_cause", "module",
                 "on_death", "on_restart_limit", "plan", "queue_max_sizes", "restarts", "since_s",
                 "start_deaths", "state",
                 "transport", "uid", "virtio_id", "writable_config")  # fmt: skip

    def __init__(
        self,
        supervisor: DeviceSupervisor,
        device_id: str,
        module: DeviceModule,
        plan: DevicePlan,
        backends: tuple[int, ...],
        *,
        on_death: str,
        on_restart_limit: str,
        uid: int,
    ) -> None:
        """Takes over backends; start() makes the first process."""
        self._supervisor = supervisor
        self.device_id = device_id
        self.module = module
        self.plan = plan
        self._backends = backends
        self.on_death = on_death
        self.on_restart_limit = on_restart_limit
        self.uid = uid
        self.virtio_id = module.virtio_id
        self.writable_config = module.writable_config
        self.queue_max_sizes = plan.queue_sizes
        # Non-blocking: a guest can't make the worker wait on a counter, nor a worker itself on a full one.
        flags = os.EFD_CLOEXEC | os.EFD_NONBLOCK
        self.kick_fds = tuple(os.eventfd(0, flags) for _ in plan.queue_sizes)
        self.call_fds = tuple(os.eventfd(0, flags) for _ in plan.queue_sizes)
        self.features = 0
        self.config_space = b""
        self._features_known = False
        self.transport: Transport | None = None
        self.state = DEAD
        self.since_s = time.time()
        self.restarts = 0
        self.start_deaths = 0  # of processes before the first that became ready
        self.last_cause: str | None = None
        self._vocabulary = vocabulary_for(module.config_schema, module.state_schema, module.metrics_schema)
        self._policy = RestartPolicy(time.monotonic(), supervisor.restart_limit)
        self._process: DeviceProcess | None = None
        self._rings: tuple[int, list[VringSetup]] | None = None
        self._state_record: dict[str, Any] | None = None
        self._waiting_resets: list[_thread.LockType] = []
        self._quiesced = True
        self._restart_timer: Timer | None = None
        self._operator_restart = False

    # What transports call, on vCPU threads.

    def activate(self, features: int, vrings: list[VringSetup]) -> None:
        """DRIVER_OK: the driver has set up its rings. Doesn't wait; doorbells gather in the eventfds."""
        self._supervisor.loop.call_soon(lambda: self._activate(features, vrings))

    def reset(self) -> bool:
        """Takes the driver's rings away and waits, without the GIL, until nothing works on them any more.

        On the main thread, at a reboot, it runs the supervisor's event loop meanwhile.

        Returns:
            False if that can't be had within the deadline; the VM is paused then.
        """
        if self._supervisor.is_on_its_thread():
            return self._supervisor.reset_now(self)
        done = _thread.allocate_lock()
        done.acquire()
        self._supervisor.loop.call_soon(lambda: self.begin_reset(done))
        # begin_reset() has deadlines of its own, for the request and for the kill; this one is for main
        # itself.
        if done.acquire(timeout=3 * RESET_DEADLINE_S):
            return True
        self._supervisor.loop.call_soon(
            lambda: self._supervisor.pause_vm(
                f"device {self.device_id} can't be reset: its process doesn't die"
            )
        )
        return False

    def write_config(self, offset: int, data: bytes) -> None:
        """Forwards a driver's write to config space, which the transport has checked and cached."""
        self._supervisor.loop.call_soon(lambda: self._send("SET_CONFIG", {"offset": offset, "data": data}))

    # What the supervisor calls.

    @property
    def process(self) -> DeviceProcess | None:
        """The current process, if there is one."""
        return self._process

    @property
    def is_settled(self) -> bool:
        """Whether no process is on its way."""
        return self.state not in (CONFIGURED, DYING, DEAD)

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
        self._move(CONFIGURED)
        self._process = DeviceProcess(
            self._supervisor.loop, self.device_id, self._vocabulary, self, self._supervisor.trace
        )
        self._supervisor.make_process(self, self._process)
        if self._supervisor.memory_regions is not None:
            self.configure()

    def configure(self) -> None:
        """Tells the process what it is and gives it its descriptors."""
        assert self._process is not None
        memory_fd, regions = self._supervisor.memory()
        fields: dict[str, Any] = {
            "version": PROTOCOL_VERSION,
            "config": self.plan.config,
            "memory": regions,
            "backends": len(self._backends),
            "queues": len(self.queue_max_sizes),
            "inflight": False,
            "seccomp": self._supervisor.seccomp,
        }
        if self._state_record is not None:
            fields["state"] = self._state_record
        descriptors = (memory_fd, *self._backends, *self.kick_fds, *self.call_fds)
        self._process.send("CONFIGURE", fields, descriptors)

    def begin_quiesce(self) -> None:
        """The VM stops: finish what is begun, then nothing more."""
        self._quiesced = self.state not in (RUNNING, DYING)  # a dying one is quiet when it is reaped
        if self.state == RUNNING:
            assert self._process is not None
            self._process.request("QUIESCE", QUIESCE_DEADLINE_S, self._on_quiesced, "QUIESCED")

    def resume(self) -> None:
        """The VM runs (again)."""
        if self.state == PAUSED:
            assert self._rings is not None
            self._move(RUNNING)
            for vring in self._rings[1]:
                self._send("SET_VRING_ENABLE", {"index": vring.index, "enable": True})
        elif self.state == STOPPED:
            self._policy = RestartPolicy(time.monotonic(), self._supervisor.restart_limit)
            self.start()

    def begin_reset(self, done: _thread.LockType) -> None:
        """Takes the rings away; done is released once nothing works on them any more."""
        self._rings = None
        self._state_record = None
        if self.state in (RUNNING, PAUSED) or (self.state == NEEDS_RESET and self._process is not None):
            assert self._process is not None
            if not self._waiting_resets:
                self._process.request("RESET_DEVICE", RESET_DEADLINE_S, self._on_reset, "RESET_DONE")
            self._waiting_resets.append(done)
        elif self.state == DYING:
            self._waiting_resets.append(done)  # killed, not reaped: not before it is gone
        else:
            if self.state == NEEDS_RESET:
                self.start()
            done.release()

    def restart(self) -> None:
        """The operator's wish: a new process, whatever the policy says."""
        if self._process is not None:
            self._operator_restart = True
            self._process.kill(None)
        else:
            self._cancel_restart_timer()
            self.start()

    def kill(self, reason: str | None) -> None:
        """Kills the process, if there is one."""
        if self._process is not None:
            self._process.kill(reason)

    def close(self) -> None:
        """Closes what outlives the processes; they must be gone."""
        self._cancel_restart_timer()
        for fd in (*self._backends, *self.kick_fds, *self.call_fds):
            os.close(fd)

    # What the process says.

    def process_said(self, message: Message) -> None:
        """Every message is good in some states only."""
        name, fields = message.name, message.fields
        assert self._process is not None
        if name == "READY" and self.state == CONFIGURED:
            self._on_ready(fields["features"], fields["config"])
        elif name == "BIRTH_CERTIFICATE" and self.state == CONFIGURED and self._process.certificate is None:
            self._process.certificate = fields
        elif name == "LOG":
            self._supervisor.log_for(self.device_id, fields["level"], fields["text"])
        elif name == "NEEDS_RESET" and self.state in (RUNNING, PAUSED):
            self._give_up(f"device {self.device_id} needs a reset: {fields['reason']}")
        elif name == "STATE" and self.state in (READY, RUNNING, PAUSED):
            self._state_record = fields["record"]
        elif name == "CONFIG_CHANGED" and self.state in (READY, RUNNING, PAUSED):
            self._change_config(fields["config"])
        elif name == "NEEDS_RESET" and self.state in (READY, NEEDS_RESET):
            pass  # said before it heard of the reset, or said twice
        else:
            self._process.kill(f"sent {name} while {self.state}")

    def process_is_dying(self) -> None:
        """It was killed, or has let go of its socket."""
        if self.state != DYING:
            self._move(DYING)

    def process_stays(self) -> None:
        """It hangs in the kernel: nothing may restart, and the driver must know."""
        _log.error(f"device {self.device_id}: its process doesn't die; the device fails")
        if self.transport is not None:
            self.transport.needs_reset()

    def process_died(self, death: Death) -> None:
        """It is reaped: what waited for that goes on, and the policy decides."""
        process, self._process = self._process, None
        assert process is not None
        pid = process.pid
        life_s = 0.0 if process.ready_at_s is None else time.monotonic() - process.ready_at_s
        self._move(DEAD)
        self._quiesced = True
        if self._supervisor.is_closing:
            self._end_resets()
            return
        self.last_cause = death.cause
        self.start_deaths += not self._features_known
        _log.warning(f"device {self.device_id}: process {pid} {death.cause}")
        if death.is_fault:
            self._supervisor.replace_zygote()
        asked, self._operator_restart = self._operator_restart, False
        verdict = "restart" if asked else self.on_death
        delay_s: float | None = 0.0
        if not asked and verdict == "restart":
            delay_s = self._supervisor.restart_delay_s(self, self._policy, life_s)
            if delay_s is None:
                verdict = self.on_restart_limit
        self._supervisor.emit(
            "DEVICE_PROCESS_DIED",
            {"id": self.device_id, "pid": pid or 0, "cause": death.cause, "action": verdict},
        )
        self._carry_out(verdict, delay_s or 0.0, death.cause)
        self._end_resets()

    # The moves.

    def _move(self, state: str) -> None:
        if self.state != state:
            self.state = device_state.move(self.state, state)
            self.since_s = time.time()

    def _activate(self, features: int, vrings: list[VringSetup]) -> None:
        self._rings = (features, vrings)
        if self.state == READY:
            self._give_rings(fresh=True)

    def _on_ready(self, features: int, config: bytes) -> None:
        assert self._process is not None
        if self._features_known and (features, len(config)) != (self.features, len(self.config_space)):
            self._process.kill("came back with other features or another config space")
            return
        is_restart = self._features_known
        self._features_known = True
        self.features = features
        self._process.became_ready()
        self._move(READY)
        if not is_restart:
            self.config_space = config
            if self._rings is not None:
                self._give_rings(fresh=True)
            return
        self.restarts += 1
        self._supervisor.emit(
            "DEVICE_PROCESS_RESTARTED",
            {"id": self.device_id, "pid": self._process.pid or 0, "restarts": self.restarts},
        )
        if config != self.config_space:
            self._change_config(config)
        if self._rings is not None:
            self._give_rings(fresh=False)

    def _give_rings(self, *, fresh: bool) -> None:
        """Sends the rings. Fresh ones begin at 0; a successor finds out where its predecessor was."""
        assert self._rings is not None
        features, vrings = self._rings
        self._send("SET_FEATURES", {"features": features})
        for vring in vrings:
            index = vring.index
            self._send("SET_VRING_NUM", {"index": index, "num": vring.num})
            addresses = {"desc_gpa": vring.desc_gpa, "avail_gpa": vring.avail_gpa, "used_gpa": vring.used_gpa}
            self._send("SET_VRING_ADDR", {"index": index, **addresses})
            self._send("SET_VRING_BASE", {"index": index, "base": 0} if fresh else {"index": index})
        if self.state != READY:  # it was lost while it was told
            return
        self._move(PAUSED)
        if self._supervisor.vm_runs:
            self._quiesced = False
            self.resume()

    def _on_quiesced(self, message: Message) -> None:
        assert self._process is not None
        if len(message.fields["bases"]) != len(self.queue_max_sizes):
            self._process.kill("sent QUIESCED with another number of queues")
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
        _log.warning(reason)
        self._move(NEEDS_RESET)
        self._quiesced = True
        if self.transport is not None:
            self.transport.needs_reset()

    def _carry_out(self, verdict: str, delay_s: float, cause: str) -> None:
        if verdict == "restart":
            if delay_s == 0:
                self.start()
            else:
                self._restart_timer = self._supervisor.loop.call_later(delay_s, self._restart_now)
        elif verdict == "needs-reset":
            self._give_up(f"device {self.device_id} needs a reset: its process {cause}")
        else:
            self._move(STOPPED)
            self._supervisor.pause_vm(f"device {self.device_id}: its process {cause}")

    def _restart_now(self) -> None:
        self._restart_timer = None
        self.start()

    def _cancel_restart_timer(self) -> None:
        if self._restart_timer is not None:
            self._restart_timer.cancel()
            self._restart_timer = None

    def _change_config(self, config: bytes) -> None:
        assert self._process is not None
        if len(config) != len(self.config_space):
            self._process.kill("changed the size of its config space")
            return
        self.config_space = config
        if self.transport is not None:
            self.transport.config_changed(config)

    def _send(self, name: str, fields: dict[str, Any]) -> None:
        if self._process is not None and self.state in (READY, RUNNING, PAUSED):
            self._process.send(name, fields)
