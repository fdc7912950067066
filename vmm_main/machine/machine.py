"""The life of a virtual machine: power-on, stop and cont, reset, power-off, and the events that tell of it.

::

    prelaunch --cont--> running <--stop/cont--> paused
                           |                      |
                           +--- reset: a new KVM VM, same state afterwards
                           |
                           +--> shutdown        (power-off, quit, signal: the process ends, or -no-shutdown)
                           +--> internal-error  (the process ends with status 1)

One thread, the main one, moves it. vCPU threads ask by guest_*() and go to their gate.
"""

from __future__ import annotations

from vmm_main.errors import BulkheadError, HostError
from vmm_main.log import Logger
from vmm_main.machine.microvm import MicroVm

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from vmm_main.chardev.backend import ChardevBackend
    from vmm_main.device_supervisor.supervisor import DeviceSupervisor
    from vmm_main.event_loop import EventLoop
    from vmm_main.fd_sets import FdSets
    from vmm_main.kvm.vcpu import VcpuFailure
    from vmm_main.vm_config import VmConfig

PRELAUNCH = "prelaunch"
RUNNING = "running"
PAUSED = "paused"
SHUTDOWN = "shutdown"
INTERNAL_ERROR = "internal-error"

# Who may be asked what: the states in which a command makes sense.
_CAN_STOP = (RUNNING,)
_CAN_CONT = (PRELAUNCH, PAUSED)
_CAN_RESET = (PRELAUNCH, RUNNING, PAUSED, SHUTDOWN)

_log = Logger("machine")


class MachineStateError(BulkheadError):
    """The machine isn't in a state in which this can be done; the text names both."""


class Machine:
    """One VM. All methods but guest_*() are for the event loop's thread."""

    __slots__ = ("_board", "_guest_request", "_listeners", "chardevs", "config", "exit_status", "failure",
                 "loop", "status", "supervisor")  # fmt: skip

    def __init__(
        self,
        config: VmConfig,
        loop: EventLoop,
        chardevs: dict[str, ChardevBackend],
        fd_sets: FdSets,
        supervisor: DeviceSupervisor | None = None,
    ) -> None:
        """Makes the board, with the supervisor's devices on it; power_on() makes the guest.

        Raises:
            ConfigurationError: A boot file can't be used.
            HostError: The host lacks something.
        """
        self.config = config
        self.loop = loop
        self.chardevs = chardevs
        self.status = PRELAUNCH
        self.exit_status = 0
        self.failure: str | None = None
        self._guest_request: str | None = None
        self._listeners: list[Callable[[str, dict[str, Any]], None]] = []
        self.supervisor = supervisor
        if supervisor is not None:
            supervisor.connect(self._emit, self.stop_because)
        serial_id = config.serial_chardev_id
        self._board = MicroVm(
            config,
            loop,
            None if serial_id is None else chardevs[serial_id],
            fd_sets,
            devices=() if supervisor is None else supervisor.devices,
            devices_loop=None if supervisor is None else supervisor.loop,
            on_poweroff=self.guest_powers_off,
            on_reset=self.guest_resets,
            on_failure=self.guest_failed,
        )

    # Events.

    def add_event_listener(self, callback: Callable[[str, dict[str, Any]], None]) -> None:
        """Calls callback(name, data) for every event from now on, on the event loop's thread."""
        self._listeners.append(callback)

    def _emit(self, name: str, data: dict[str, Any]) -> None:
        _log.info(f"event {name} {data}" if data else f"event {name}")
        for listener in self._listeners:
            listener(name, data)

    # Commands.

    def power_on(self) -> None:
        """Loads the guest and makes its CPUs, all parked; start() lets them run.

        Raises:
            ConfigurationError: A boot file can't be used.
            HostError: KVM refuses something.
        """
        if self.supervisor is None:
            self._board.power_on()
            return
        self.supervisor.configure_all(self._board.memory)
        self._board.power_on()
        self.supervisor.wait_ready()

    def start(self) -> None:
        """The guest's first instruction; no event, since nobody can have been told of a stop."""
        self._run()

    def stop(self) -> None:
        """Halts the CPUs where they are, and the guest's clock with them. Emits STOP.

        Raises:
            MachineStateError: The VM isn't running.
        """
        self._require("stop", _CAN_STOP)
        self._halt()
        self._emit("STOP", {})

    def stop_because(self, reason: str) -> None:
        """Stops a running VM that can't go on as it is, and tells why. cont tries again."""
        if self.status == RUNNING:
            self._halt()
            self._emit("STOP", {"reason": reason})

    def cont(self) -> None:
        """Lets the CPUs run again, or for the first time. Emits RESUME.

        Raises:
            MachineStateError: The VM is running, or has ended.
        """
        self._require("cont", _CAN_CONT)
        self._run()
        self._emit("RESUME", {})

    def system_reset(self) -> None:
        """Resets the VM, as the reset button would. Emits RESET; a paused VM stays paused.

        Raises:
            MachineStateError: The VM has failed.
        """
        self._require("system_reset", _CAN_RESET)
        self._reset(guest=False, reason="host-qmp-system-reset")

    def system_powerdown(self) -> None:
        """Presses the power button; the guest decides what it does. Emits POWERDOWN."""
        self._board.power_registers.press_power_button()
        self._emit("POWERDOWN", {})

    def quit(self, reason: str = "host-qmp-quit") -> None:
        """Ends the VM and the process, soon: replies that are under way still go out. Emits SHUTDOWN."""
        self.loop.call_soon(lambda: self._end(guest=False, reason=reason))

    @property
    def guest_memory_fd(self) -> int:
        """The descriptor of the guest's memory."""
        return self._board.memory.fd

    @property
    def boot_files(self) -> list[tuple[str, int]]:
        """How the user asked for each file that the guest boots from, and its descriptor."""
        return self._board.boot_files

    def vcpu_thread_ids(self) -> list[int]:
        """The kernel's thread ids of the vCPUs, in their order."""
        return [vcpu.thread_id for vcpu in self._board.vcpus]

    def close(self) -> None:
        """Frees everything, after a last look at what the guest had still to say."""
        self._board.close()

    def flush_serial(self, deadline_s: float) -> None:
        """Gives the serial port's last output to its reader, waiting until deadline_s (monotonic)."""
        if self._board.uart is not None:
            self._board.uart.flush_at_exit(deadline_s)

    # What the guest asks for; on vCPU threads.

    def guest_powers_off(self) -> None:
        """The guest has entered S5."""
        self._guest_asks("off")

    def guest_resets(self) -> None:
        """The guest has written a reset register, or triple-faulted."""
        self._guest_asks("reset")

    def guest_failed(self, failure: VcpuFailure) -> None:
        """A vCPU can't go on."""
        self._board.ask_to_park()
        self.loop.call_soon(lambda: self._fail(failure))

    def _guest_asks(self, request: str) -> None:
        # All CPUs stop here: nothing runs between a guest's request and its effect. The first one counts.
        self._board.ask_to_park()
        if self._guest_request is None:
            self._guest_request = request
            self.loop.call_soon(self._serve_guest_request)

    # On the main thread.

    def _run(self) -> None:
        self.status = RUNNING
        if self.supervisor is not None:
            self.supervisor.resume()
        self._board.resume()

    def _halt(self) -> None:
        """The CPUs first, then the devices: nobody asks them for anything any more."""
        self._board.park()
        self._board.hold_clock()
        self.status = PAUSED
        if self.supervisor is not None:
            self.supervisor.quiesce()

    def _serve_guest_request(self) -> None:
        request, self._guest_request = self._guest_request, None
        if self.status in (SHUTDOWN, INTERNAL_ERROR) or request is None:
            return
        if request == "off":
            self._end(guest=True, reason="guest-shutdown")
        elif self.config.no_reboot:
            self._end(guest=True, reason="guest-reset")
        else:
            self._reset(guest=True, reason="guest-reset")

    def _reset(self, *, guest: bool, reason: str) -> None:
        was = self.status
        # First nobody asks the devices for anything, then they leave the guest's memory alone.
        self._board.park()
        if self.supervisor is not None:
            self.supervisor.begin_resets()
        try:
            self._board.reset_devices()
        except HostError as error:
            # A process that is killed and doesn't die may still write: no new guest in that memory.
            self._guest_request = None
            if was != RUNNING:
                raise
            self.stop_because(f"the VM can't be reset: {error}")
            return
        try:
            self._board.power_off()
            self._board.power_on()
        except BulkheadError as error:
            self._give_up(f"the VM can't be reset: {error}")
            return
        self._guest_request = None
        self._emit("RESET", {"guest": guest, "reason": reason})
        if was == RUNNING and self.status == RUNNING:  # a device may have stopped the VM meanwhile
            self._board.resume()
        elif was == SHUTDOWN:
            self.status = PAUSED

    def _end(self, *, guest: bool, reason: str) -> None:
        if self.status == INTERNAL_ERROR:
            return
        again = self.status == SHUTDOWN
        self._board.park()
        self.status = SHUTDOWN
        if not again:
            self._emit("SHUTDOWN", {"guest": guest, "reason": reason})
        if not (guest and self.config.no_shutdown):
            self.loop.stop()

    def _fail(self, failure: VcpuFailure) -> None:
        if self.status in (SHUTDOWN, INTERNAL_ERROR):
            return
        from vmm_main.machine.failure_report import describe_failure

        self._board.park()
        self._give_up(describe_failure(failure, self._board))

    def _give_up(self, message: str) -> None:
        self.status = INTERNAL_ERROR
        self.failure = message
        self.exit_status = 1
        self._emit("SHUTDOWN", {"guest": False, "reason": "host-error"})
        self.loop.stop()

    def _require(self, command: str, states: tuple[str, ...]) -> None:
        if self.status not in states:
            raise MachineStateError(
                f"{command}: the VM is {self.status}, and must be {' or '.join(states)} for that"
            )
