"""Signals of the main process: three end it, one asks where it is. And closed descriptors 0 to 2."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from tests.unit.process.program import DEADLINE_S, command, run

if TYPE_CHECKING:
    from pathlib import Path


def _ends_in_an_orderly_way() -> int:
    import threading

    from vmm_main.event_loop import EventLoop
    from vmm_main.process_life import EndSignals

    loop = EventLoop()
    signals = EndSignals(loop)
    signals.on_signal = loop.stop
    # A thread made now must not take the signal away, whatever it does.
    threading.Thread(target=threading.Event().wait, daemon=True).start()
    print("ready", flush=True)
    loop.run()
    signals.close()
    loop.close()
    print("undone", flush=True)
    return 5


def _has_no_vm_yet() -> int:
    from vmm_main.errors import BulkheadError
    from vmm_main.event_loop import EventLoop
    from vmm_main.process_life import EndSignals

    loop = EventLoop()
    signals = EndSignals(loop)
    print("ready", flush=True)
    try:
        loop.run()
    except BulkheadError as error:
        print(error, flush=True)
    signals.close()
    return 1


def _hangs(log_path: str) -> int:
    import threading

    from vmm_main import log
    from vmm_main.process_life import write_stacks_on_sigquit

    def innocent_thread(gate: threading.Lock) -> None:
        with gate:
            return

    def hanging_main() -> None:
        print("ready", flush=True)
        sum(iter(int, 1))  # never ends, never returns to the interpreter's loop

    if log_path:
        log.open_log_file(log_path)
    write_stacks_on_sigquit()
    gate = threading.Lock()
    gate.acquire()
    threading.Thread(target=innocent_thread, args=(gate,), daemon=True).start()
    hanging_main()
    return 0


def _start(function: object, *arguments: str) -> subprocess.Popen[str]:
    assert callable(function)
    program = subprocess.Popen(
        [*command(function), *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert program.stdout is not None
    assert program.stdout.readline() == "ready\n"
    return program


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_ending_signals_reach_the_event_loop(number: signal.Signals) -> None:
    program = _start(_ends_in_an_orderly_way)
    program.send_signal(number)
    assert program.communicate(timeout=DEADLINE_S) == ("undone\n", "")
    assert program.returncode == 5


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signal_before_there_is_a_vm_is_an_error_with_a_name(number: signal.Signals) -> None:
    program = _start(_has_no_vm_yet)
    program.send_signal(number)
    output, _ = program.communicate(timeout=DEADLINE_S)
    assert output == f"ended by {number.name} before the VM was started\n"


def test_sigquit_writes_every_threads_stack_to_the_log(tmp_path: Path) -> None:
    path = tmp_path / "log"
    program = _start(_hangs, str(path))
    for _ in range(2):
        size = path.stat().st_size
        program.send_signal(signal.SIGQUIT)
        deadline_s = time.monotonic() + DEADLINE_S
        while b"hanging_main" not in path.read_bytes()[size:]:
            assert time.monotonic() < deadline_s
            assert program.poll() is None, "it goes on"
            time.sleep(0.005)
        assert b"innocent_thread" in path.read_bytes()[size:]
    program.kill()
    assert program.communicate()[1] == ""


def test_sigquit_without_log_file_writes_to_standard_error() -> None:
    program = _start(_hangs, "")
    assert program.stderr is not None
    program.send_signal(signal.SIGQUIT)
    lines = [program.stderr.readline()]
    while "hanging_main" not in lines[-1]:
        lines.append(program.stderr.readline())
        assert lines[-1]
    assert any("innocent_thread" in line for line in lines)
    program.kill()
    program.communicate()


def _lists_standard_descriptors() -> int:
    import os

    from vmm_main.process_life import open_standard_descriptors

    open_standard_descriptors()
    links = [os.readlink(f"/proc/self/fd/{fd}") for fd in (0, 1, 2)]
    with open(os.environ["NOTES"], "w") as file:
        file.write(f"{[link.split(':')[0] for link in links]} {file.fileno() > 2}")
    return 0


@pytest.mark.parametrize("closed", ["0", "1", "2", "0 1", "0 1 2", ""])
def test_closed_standard_descriptors_become_dev_null(tmp_path: Path, closed: str) -> None:
    notes = tmp_path / "notes"
    redirections = " ".join(f"{fd}<&-" for fd in closed.split())
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {redirections}', "sh", *command(_lists_standard_descriptors)],
        input=b"",
        capture_output=True,
        env={**os.environ, "NOTES": str(notes)},
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    expected = ["/dev/null" if str(fd) in closed.split() else "pipe" for fd in (0, 1, 2)]
    assert notes.read_text() == f"{expected} True"


def _writes_to_a_pipe_without_reader() -> int:
    import os

    reading, writing = os.pipe()
    os.close(reading)
    try:
        os.write(writing, b"x")
    except BrokenPipeError:
        return 3
    return 0


def test_a_reader_that_leaves_is_an_error_not_a_signal() -> None:
    """What all chardevs rest on: Python has SIGPIPE ignored."""
    assert run(_writes_to_a_pipe_without_reader).returncode == 3
