"""The main process from its arguments to its exit status.

Everything imported here is imported at every start, before the guest's first instruction: the boundary that
DESIGN §12's budget draws. What is needed later (--help, QMP's server, error reports) is imported later. A
test holds the list of modules. Even os isn't among them: here `os` is posix, its calls without the rest.

A VM with devices asks for their processes before it imports what makes a machine: both take milliseconds,
and there is more than one CPU.

Exit statuses: 0 the VM ended as asked (power-off, quit, SIGTERM, SIGINT, SIGHUP, also while it waits for a
client); 1 it couldn't be started or
couldn't go on, with one line on standard error, or stopped on an error inside Bulkhead, with its stack.
"""

from __future__ import annotations

import gc
import posix as os
import sys
import time
from errno import EMFILE

from vmm_main import log
from vmm_main.chardev.factory import open_chardev
from vmm_main.command_line.parser import parse
from vmm_main.errors import BulkheadError, HostError
from vmm_main.event_loop import EventLoop
from vmm_main.fd_sets import FdSets
from vmm_main.kvm._kvm import lib
from vmm_main.kvm.early_setup import begin_early_setup, begin_unless_later
from vmm_main.process_life import (
    Daemon,
    EndedBySignalError,
    EndSignals,
    PidFile,
    open_standard_descriptors,
    write_stacks_on_sigquit,
)
from vmm_main.self_confinement import confine_main, remember_place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from vmm_main.chardev.backend import ChardevBackend
    from vmm_main.device_supervisor.spawner import Spawner
    from vmm_main.machine.machine import Machine
    from vmm_main.qmp.listener import QmpMonitors
    from vmm_main.vm_config import VmConfig

_log = log.Logger("start")

# How long the end of the process waits for whoever reads the serial port.
_LAST_OUTPUT_S = 0.3
_STDERR = 2


def _import_nothing() -> None:
    """Where modules don't come from a bundle, each is imported in its turn."""


# start_bundle.py puts here what runs those that make a machine all at once.
import_machine: Callable[[], None] = _import_nothing


def main(arguments: list[str]) -> int:
    """Runs one VM from its command line to its end and returns the exit status."""
    open_standard_descriptors()
    lib.process_set_name(b"bulkhead")  # before any thread is made; it can't fail
    begin_unless_later(arguments)
    daemon: Daemon | None = None
    try:
        config = parse(arguments)
        if config.only_print is not None:
            _print_only(config.only_print)
            return 0
        if config.log_path is not None:
            log.open_log_file(config.log_path)
        elif config.log_to_stderr:
            log.log_everything_to_stderr()
        log.hold_back()
        if config.daemonize:
            daemon = Daemon.fork()
        return _run(config, daemon)
    except EndedBySignalError as error:
        if daemon is None:
            return 0
        daemon.report_failure(str(error))
        return 1
    except BulkheadError as error:
        if log.log_fd() != _STDERR:
            _log.error(str(error))
        if daemon is not None:
            daemon.report_failure(str(error))
        else:
            _complain(str(error))
        return 1


def _run(config: VmConfig, daemon: Daemon | None) -> int:
    """Makes the VM, runs it, and undoes everything in the opposite order, however it ends."""
    undo: list[Callable[[], None]] = []
    try:
        try:
            loop, machine = _start(config, daemon, undo)
        except (BulkheadError, OSError) as error:
            is_shortage = isinstance(error, OSError) and error.errno == EMFILE
            if is_shortage or isinstance(error, BulkheadError):
                log.forget_held_back()
            _undo_all(undo)  # what explains it takes a descriptor
            _explain_shortage(error, config)
            raise
        loop.run()
        if machine.failure is not None:
            raise HostError(machine.failure)
        return 0
    finally:
        log.write_held_back()
        _undo_all(undo)


def _explain_shortage(error: BulkheadError | OSError, config: VmConfig) -> None:
    """Raises another error instead, if the limit of open files is too low for the start."""
    from vmm_main.descriptor_limit import shortage

    instead = shortage(error, config)
    if instead is not None:
        raise instead from error


def _undo_all(undo: list[Callable[[], None]]) -> None:
    """Undoes the last first; one that fails doesn't keep the others from it."""
    while undo:
        try:
            undo.pop()()
        finally:
            _undo_all(undo)


def _start(
    config: VmConfig, daemon: Daemon | None, undo: list[Callable[[], None]]
) -> tuple[EventLoop, Machine]:
    """Makes the VM and has it begin to run as soon as the loop does."""
    if config.no_effect:
        _log.info(f"accepted without effect: {', '.join(config.no_effect)}")
    write_stacks_on_sigquit()
    spawner = _request_first_zygote(config) if config.devices else None
    begin_early_setup()
    loop = EventLoop()
    undo.append(loop.close)
    signals = EndSignals(loop)
    undo.append(signals.close)
    if config.pidfile_path is not None:
        undo.append(PidFile(config.pidfile_path).remove)
    fd_sets = FdSets(config.fd_sets)
    monitors = _make_monitors(undo) if config.qmp_chardev_ids else None
    chardevs = _open_chardevs(config, loop, fd_sets, monitors, undo)
    if monitors is not None:
        # Once more, on top: a monitor's last words need its chardev. The first is for one that can't open.
        undo.append(monitors.close)
    supervisor = None
    if spawner is not None:
        from vmm_main.device_supervisor.device_start import start_devices

        supervisor = start_devices(config, loop, fd_sets, *spawner)
        undo.append(supervisor.close)
    import_machine()
    from vmm_main.machine.machine import Machine

    machine = Machine(config, loop, chardevs, fd_sets, supervisor)
    undo.append(machine.close)
    if monitors is not None:
        remember_place()
    confine_main(seccomp=config.seccomp_enabled)
    machine.power_on()
    log.write_held_back()
    for text in config.warnings:
        _log.warning(text)
    undo.append(lambda: machine.flush_serial(time.monotonic() + _LAST_OUTPUT_S))
    for backend in chardevs.values():
        backend.on_quit = lambda: machine.quit("host-ui")
        backend.announce()
    signals.on_signal = lambda: machine.quit("host-signal")
    if monitors is not None:
        monitors.start(machine)
    if daemon is not None:
        # On the loop: from then on a QMP client is answered.
        loop.call_soon(daemon.report_ready)
    if not config.start_paused:
        if monitors is None:
            _start_guest(machine)
        else:
            monitors.when_clients_are_there(lambda: _start_guest(machine))
    # What __main__ has kept it from looking at stays: a first look now would be at everything, for 0.3 ms.
    gc.freeze()
    gc.enable()
    return loop, machine


def _request_first_zygote(config: VmConfig) -> tuple[Spawner, int]:
    """Devices' processes warm up while main goes on."""
    from vmm_main.device_supervisor.device_start import request_first_zygote

    return request_first_zygote(config)


def _make_monitors(undo: list[Callable[[], None]]) -> QmpMonitors:
    from vmm_main.qmp.listener import QmpMonitors

    monitors = QmpMonitors()
    undo.append(monitors.close)
    return monitors


def _start_guest(machine: Machine) -> None:
    from vmm_main.machine.machine import PRELAUNCH

    _trace_modules()
    if machine.status == PRELAUNCH:  # otherwise a QMP client was quicker
        machine.start()


def _open_chardevs(
    config: VmConfig,
    loop: EventLoop,
    fd_sets: FdSets,
    monitors: QmpMonitors | None,
    undo: list[Callable[[], None]],
) -> dict[str, ChardevBackend]:
    """Opens every chardev; a QMP socket that listens gets a server of its own, which takes many clients."""
    chardevs: dict[str, ChardevBackend] = {}
    for chardev in config.chardevs:
        qmp = monitors if chardev.chardev_id in config.qmp_chardev_ids else None
        if qmp is not None and chardev.backend == "socket" and chardev.server:
            qmp.listen(chardev)
            continue
        backend = open_chardev(chardev, loop, fd_sets)
        undo.append(backend.close)
        chardevs[chardev.chardev_id] = backend
        if qmp is not None:
            qmp.speak_on(backend)
    return chardevs


def _trace_modules() -> None:
    """BULKHEAD_TRACE=modules: the log gets the list that the test of the lean start compares."""
    if b"modules" in os.environ.get(b"BULKHEAD_TRACE", b"").split(b","):
        _log.info(f"modules at the first KVM_RUN: {' '.join(sorted(sys.modules))}")


def _print_only(what: str) -> None:
    """Answers --help and --version."""
    if what == "help":
        from vmm_main.command_line.synopsis import synopsis

        print(synopsis())
    else:
        from vmm_main.version import VERSION, git_commit

        print(f"Bulkhead {VERSION} ({git_commit()})")


def _complain(message: str) -> None:
    """The one line on standard error."""
    os.write(_STDERR, f"bulkhead: {message}\n".encode("utf-8", "backslashreplace"))
