"""-daemonize: what the caller sees, and what is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING

from tests.unit.process.program import DEADLINE_S, command, run

if TYPE_CHECKING:
    from pathlib import Path


def _becomes_ready(notes: str) -> int:
    """Notes the daemon's pid before it is ready; runs on until a file says that it may end."""
    import os
    import time

    from vmm_main.process_life import Daemon

    daemon = Daemon.fork()
    with open(notes + ".starting", "w") as file:
        file.write(str(os.getpid()))
    while not os.path.exists(notes + ".go"):
        time.sleep(0.01)
    daemon.report_ready()
    os.write(1, b"a daemon's words go nowhere")
    os.write(2, b"a daemon's words go nowhere")
    with open(notes + ".ready", "w") as file:
        links = [os.readlink(f"/proc/self/fd/{fd}") for fd in (0, 1, 2)]
        file.write(f"{os.getsid(0) == os.getpid()} {links}")
    while not os.path.exists(notes + ".end"):
        time.sleep(0.01)
    return 0


def _fails() -> int:
    from vmm_main.process_life import Daemon

    daemon = Daemon.fork()
    daemon.report_failure("-m 3: too little \N{EURO SIGN}\0; allowed is more")
    daemon.report_failure("once is enough")
    return 1


def _fails_while_a_child_holds_the_pipe(end: str) -> int:
    import os
    import time

    from vmm_main.process_life import Daemon

    daemon = Daemon.fork()
    if os.fork() == 0:
        for fd in (0, 1, 2):
            os.close(fd)
        while not os.path.exists(end):
            time.sleep(0.01)
        os._exit(0)
    daemon.report_failure("no such kernel")
    return 1


def _dies() -> int:
    import os
    import signal

    from vmm_main.process_life import Daemon

    Daemon.fork()
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


def _raises() -> int:
    from vmm_main.process_life import Daemon

    Daemon.fork()
    raise RuntimeError("a bug")


def _wait_for(path: str) -> str:
    deadline_s = time.monotonic() + DEADLINE_S
    while not os.path.exists(path) or not os.path.getsize(path):
        assert time.monotonic() < deadline_s, f"{path} never came"
        time.sleep(0.005)
    with open(path) as file:
        return file.read()


def _wait_until_gone(pid: int) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while os.path.exists(f"/proc/{pid}/stat"):
        with open(f"/proc/{pid}/stat") as file:
            if file.read().rsplit(")", 1)[1].split()[0] == "Z":  # nobody reaps orphans in some containers
                return
        assert time.monotonic() < deadline_s
        time.sleep(0.005)


def test_caller_waits_until_the_daemon_is_ready(tmp_path: Path) -> None:
    notes = str(tmp_path / "notes")
    caller = subprocess.Popen(
        [*command(_becomes_ready), notes],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
    )
    daemon = int(_wait_for(notes + ".starting"))
    assert caller.poll() is None, "not before"
    (tmp_path / "notes.go").touch()
    # communicate() waits for end-of-file too: the daemon has let go of the caller's descriptors.
    assert caller.communicate(timeout=DEADLINE_S) == (b"", b"")
    assert caller.returncode == 0
    assert _wait_for(notes + ".ready") == f"True {['/dev/null'] * 3}"
    assert os.path.exists(f"/proc/{daemon}")
    (tmp_path / "notes.end").touch()
    _wait_until_gone(daemon)


def test_failure_comes_out_at_the_caller() -> None:
    done = run(_fails)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "bulkhead: -m 3: too little \N{EURO SIGN}\\0; allowed is more\n"


def test_failure_is_told_although_a_child_holds_the_pipe(tmp_path: Path) -> None:
    done = run(_fails_while_a_child_holds_the_pipe, str(tmp_path / "end"))
    assert (done.returncode, done.stderr) == (1, "bulkhead: no such kernel\n")
    (tmp_path / "end").touch()


def test_daemon_that_dies_before_it_is_ready() -> None:
    done = run(_dies)
    assert (done.returncode, done.stderr) == (
        1,
        "bulkhead: the daemon ended before it was ready, by signal 9\n",
    )


def test_daemon_with_a_bug_shows_its_stack_and_fails() -> None:
    done = run(_raises)
    assert done.returncode == 1
    assert "RuntimeError: a bug" in done.stderr
    assert done.stderr.endswith("bulkhead: the daemon ended before it was ready, by status 1\n")


def test_daemon_whose_caller_has_given_up_ends(tmp_path: Path) -> None:
    notes = str(tmp_path / "notes")
    caller = subprocess.Popen([*command(_becomes_ready), notes], stderr=subprocess.PIPE)
    daemon = int(_wait_for(notes + ".starting"))
    caller.send_signal(signal.SIGINT)
    assert caller.wait(DEADLINE_S) == -signal.SIGINT, "by the signal, without a stack"
    (tmp_path / "notes.go").touch()
    _wait_until_gone(daemon)
    assert not (tmp_path / "notes.ready").exists()
    assert caller.stderr is not None
    assert b"KeyboardInterrupt" not in caller.stderr.read()
    caller.stderr.close()
