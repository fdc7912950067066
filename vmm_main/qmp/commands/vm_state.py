"""Commands and events about whether the VM runs, and its power."""

from __future__ import annotations

from vmm_main.qmp.schema import BOOL, STR, Command, Enum, Event, Member, Struct, Table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from vmm_main.qmp.session import Call

RUN_STATE = Enum(
    "RunState",
    "What the VM as a whole is doing: those of QEMU's states that occur here.",
    {
        "prelaunch": "Not started yet (`-S`).",
        "running": "The vCPUs run.",
        "paused": "The vCPUs were stopped.",
        "shutdown": "The guest has shut down, and `-no-shutdown` keeps the process.",
        "internal-error": "The host's KVM could not go on with the guest.",
    },
)
STATUS_INFO = Struct(
    "StatusInfo",
    "The state of the VM.",
    Member("status", RUN_STATE, "The state."),
    Member("running", BOOL, "Whether the vCPUs run."),
    Member("singlestep", BOOL, "Always false; there for clients of QEMU."),
)
SHUTDOWN_CAUSE = Enum(
    "ShutdownCause",
    "Why the VM was reset or shut down: those of QEMU's causes that occur here.",
    {
        "host-qmp-quit": "The command quit.",
        "host-qmp-system-reset": "The command system_reset.",
        "host-signal": "SIGTERM, SIGINT or SIGHUP.",
        "host-error": "The host could not go on with the guest.",
        "guest-shutdown": "The guest powered itself off.",
        "guest-reset": "The guest reset itself; with `-no-reboot` that shuts it down.",
        "guest-panic": "The guest crashed.",
    },
)


def _query_status(call: Call) -> dict[str, Any]:
    status = call.machine.status
    return {"status": status, "running": status == "running", "singlestep": False}


def _stop(call: Call) -> None:
    call.machine.stop()


def _cont(call: Call) -> None:
    call.machine.cont()


def _system_powerdown(call: Call) -> None:
    call.machine.system_powerdown()


def _system_reset(call: Call) -> None:
    call.machine.system_reset()


def _quit(call: Call) -> None:
    call.machine.quit()


def _by_whom() -> tuple[Member, Member]:
    return (
        Member("guest", BOOL, "Whether the guest did it itself."),
        Member("reason", SHUTDOWN_CAUSE, "Why."),
    )


TABLE = Table(
    "Running, stopping, power",
    "What the front panel of a machine would offer.",
    commands=(
        Command(
            "query-status",
            "Tells whether the VM runs.",
            _query_status,
            returns=STATUS_INFO,
            example={"status": "running", "running": True, "singlestep": False},
        ),
        Command(
            "stop",
            "Stops the vCPUs; the event STOP follows once they stand. A VM that is stopped already gives a "
            "GenericError and no event.",
            _stop,
        ),
        Command(
            "cont",
            "Lets the vCPUs run on; the event RESUME says that they do. A VM that runs already gives a "
            "GenericError and no event.",
            _cont,
        ),
        Command(
            "system_powerdown",
            "Presses the power button. What the guest makes of it is the guest's matter.",
            _system_powerdown,
        ),
        Command("system_reset", "Presses the reset button: the guest boots anew.", _system_reset),
        Command(
            "quit",
            "Ends the VM and its process at once, without asking the guest. The reply is sent first.",
            _quit,
            after_reply=True,
        ),
    ),
    events=(
        Event(
            "STOP",
            "The vCPUs were stopped, and the devices with them.",
            Member("reason", STR, "Why, if it was a device that made it necessary.", optional=True),
        ),
        Event("RESUME", "The vCPUs run on."),
        Event("POWERDOWN", "The power button was pressed by system_powerdown."),
        Event("RESET", "The VM was reset.", *_by_whom()),
        Event("SHUTDOWN", "The VM has shut down, or is about to be ended.", *_by_whom()),
    ),
)
