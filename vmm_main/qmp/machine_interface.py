"""The machine as QMP sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from vmm_main.chardev.backend import ChardevBackend
    from vmm_main.device_supervisor.supervisor import DeviceSupervisor
    from vmm_main.event_loop import EventLoop
    from vmm_main.vm_config import VmConfig


class MachineInterface(Protocol):
    """What the server needs of vmm_main.machine.Machine; imported for type checking only.

    Everything is called on the event loop's thread, and event listeners are called there.
    """

    @property
    def config(self) -> VmConfig:
        """What was asked for."""

    @property
    def loop(self) -> EventLoop:
        """The main thread's event loop."""

    @property
    def status(self) -> str:
        """One of the values of RunState in commands/vm_state.py."""

    @property
    def chardevs(self) -> dict[str, ChardevBackend]:
        """The open back ends by id."""

    @property
    def supervisor(self) -> DeviceSupervisor | None:
        """Of the device processes, if there are devices."""

    @property
    def guest_memory_fd(self) -> int:
        """The descriptor of the guest's memory."""

    @property
    def boot_files(self) -> list[tuple[str, int]]:
        """How the user asked for each file that the guest boots from, and its descriptor."""

    def stop(self) -> None:
        """Pauses the vCPUs and emits STOP; a BulkheadError if they don't run."""

    def cont(self) -> None:
        """Lets the vCPUs run and emits RESUME; a BulkheadError if they do, or can't."""

    def system_reset(self) -> None:
        """Resets the VM as its reset button would; emits RESET."""

    def system_powerdown(self) -> None:
        """Presses the power button; emits POWERDOWN."""

    def quit(self) -> None:
        """Ends the process soon, by way of the event loop; emits SHUTDOWN."""

    def vcpu_thread_ids(self) -> list[int]:
        """The kernel's thread ids of the vCPUs, in the order of their indices."""

    def add_event_listener(self, listener: Callable[[str, dict[str, Any]], None]) -> None:
        """Calls listener(name, data) for every event from now on."""
