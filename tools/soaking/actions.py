"""What is done to a VM, and what must follow of it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from tools.soaking.plan import Action
from tools.soaking.qmp_client import send_garbage
from tools.soaking.soaked_vm import (
    HANG_S,
    PROGRESS_DEADLINE_S,
    QMP_DEADLINE_S,
    SPAWNER,
    ZYGOTE,
    SoakedVm,
    SoakError,
)

_REPLACED = "replaced by device_process_restart"
HUNG = f"hung: its control thread has answered nothing for {HANG_S:g} s"
# Of a process that hangs while its driver waits for a reset: that is looked at first.
RESET_TOO_LATE = "RESET_DEVICE not answered within "


def _die(vm: SoakedVm, device: str, number: signal.Signals) -> None:
    pid: int = vm.device_processes()[device]["pid"]
    vm.expected[pid] = (f"killed by {number.name}",)
    os.kill(pid, number)
    vm.qmp.wait_for_event("DEVICE_PROCESS_DIED", id=device, pid=pid)
    vm.qmp.wait_for_event("DEVICE_PROCESS_RESTARTED", id=device)


def _kill(vm: SoakedVm, _action: Action, device: str) -> None:
    _die(vm, device, signal.SIGKILL)


def _segv(vm: SoakedVm, _action: Action, device: str) -> None:
    _die(vm, device, signal.SIGSEGV)


def _abort(vm: SoakedVm, _action: Action, device: str) -> None:
    _die(vm, device, signal.SIGABRT)


def _restart(vm: SoakedVm, _action: Action, device: str) -> None:
    pid = vm.device_processes()[device]["pid"]
    vm.expected[pid] = (_REPLACED,)
    vm.qmp.ask("device_process_restart", {"id": device})
    vm.qmp.wait_for_event("DEVICE_PROCESS_RESTARTED", id=device)


def _restart_hanging(vm: SoakedVm, _action: Action, device: str) -> None:
    """Of a process that stands still; main may have noticed by itself."""
    pid = vm.device_processes()[device]["pid"]
    vm.expected[pid] = ("",)
    os.kill(pid, signal.SIGSTOP)
    vm.qmp.ask("device_process_restart", {"id": device})
    vm.qmp.wait_for_event("DEVICE_PROCESS_RESTARTED", id=device)


def _hang(vm: SoakedVm, _action: Action, device: str) -> None:
    """It stands still, and nobody but main's heartbeat looks."""
    pid = vm.device_processes()[device]["pid"]
    vm.expected[pid] = (HUNG, *((RESET_TOO_LATE,) if vm.plan.resets else ()))
    os.kill(pid, signal.SIGSTOP)
    vm.qmp.wait_for_event("DEVICE_PROCESS_DIED", id=device, pid=pid)
    vm.qmp.wait_for_event("DEVICE_PROCESS_RESTARTED", id=device)


def _stop_for_a_while(vm: SoakedVm, _action: Action, device: str) -> None:
    """Until the others have done something; main may take it for dead, if that is long."""
    pid = vm.device_processes()[device]["pid"]
    vm.expected[pid] = ("",)
    pidfd = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGSTOP)
        vm.qmp.ask("query-status")
        signal.pidfd_send_signal(pidfd, signal.SIGCONT)
    except ProcessLookupError:
        pass  # main has replaced it
    finally:
        os.close(pidfd)


def _stop_and_cont(vm: SoakedVm, _action: Action, _device: str) -> None:
    vm.qmp.ask("stop")
    if vm.qmp.ask("query-status")["status"] != "paused":
        raise SoakError("stop, and it isn't paused")
    states = {name: each["state"] for name, each in vm.device_processes().items()}
    if set(states.values()) != {"paused"}:
        raise SoakError(f"stop, and devices are {states}")
    vm.qmp.ask("cont")


def _system_reset(vm: SoakedVm, _action: Action, _device: str) -> None:
    boots = vm.serial.boots
    vm.qmp.ask("system_reset")
    vm.qmp.wait_for_event("RESET")
    if not vm.serial.wait_for_boot(boots, PROGRESS_DEADLINE_S):
        raise SoakError("the guest doesn't boot after a reset")


def _kill_zygote(vm: SoakedVm, _action: Action, device: str) -> None:
    """The next device that dies gets a new one."""
    pid = vm.child(ZYGOTE)
    os.kill(pid, signal.SIGKILL)
    vm.wait_until_gone(pid)
    _die(vm, device, signal.SIGKILL)
    if vm.child(ZYGOTE) in (0, pid):
        raise SoakError("there is no new zygote")


def _query(vm: SoakedVm, action: Action, device: str) -> None:
    vm.qmp.ask(action.choice)
    vm.qmp.ask("query-device-metrics", {"id": device})


def _garbage(vm: SoakedVm, action: Action, _device: str) -> None:
    send_garbage(str(vm.directory / "garbage"), action.choice, QMP_DEADLINE_S)
    vm.qmp.ask("query-status")


def _serial_client(vm: SoakedVm, _action: Action, _device: str) -> None:
    vm.serial.disconnect()
    vm.qmp.ask("query-chardev")
    vm.serial.connect(QMP_DEADLINE_S)


PERFORM: dict[str, Callable[[SoakedVm, Action, str], None]] = {
    "kill-device": _kill,
    "segv-device": _segv,
    "abort-device": _abort,
    "restart-device": _restart,
    "restart-hanging-device": _restart_hanging,
    "hang-device": _hang,
    "stop-device-for-a-while": _stop_for_a_while,
    "stop-and-cont": _stop_and_cont,
    "system-reset": _system_reset,
    "kill-zygote": _kill_zygote,
    "query": _query,
    "garbage": _garbage,
    "serial-client": _serial_client,
}


def perform(vm: SoakedVm, action: Action) -> None:
    """Does it, and holds everything against the VM.

    Raises:
        SoakError: Something isn't as it must be.
        QmpError: QMP doesn't do what it must.
    """
    PERFORM[action.name](vm, action, vm.plan.device_names[action.device])
    vm.wait_for_progress(action.progress)
    vm.check_events()
    vm.check_vitals()


def end(vm: SoakedVm, how: str) -> None:
    """Ends the VM, and looks at what is left.

    Raises:
        SoakError: Something isn't as it must be.
        QmpError: QMP doesn't do what it must.
    """
    if how == "sigkill":
        vm.process.send_signal(signal.SIGKILL)
        # Nobody is left to remove them; the next VM replaces what is stale.
        vm.expect_end(-signal.SIGKILL, may_leave=("qmp", "garbage", "console"))
        return
    if how == "sigterm":
        vm.process.send_signal(signal.SIGTERM)
    else:
        if how == "quit-without-spawner":
            os.kill(vm.child(SPAWNER), signal.SIGKILL)
            vm.wait_for_progress(1)
            _die(vm, vm.plan.device_names[0], signal.SIGKILL)
            vm.wait_for_progress(1)
            vm.check_events()
        vm.qmp.ask("quit")
    vm.expect_end(0)
