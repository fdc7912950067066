"""Main ends its children at its end, and isn't held up by one that it can't reap."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[3]
# A child that another process traces: dead, it is the tracer's to reap first, which doesn't.
PROGRAM = """
import ctypes, os, signal, sys, time
from vmm_main.device_supervisor.own_children import end_children

child = os.fork()
if child == 0:
    signal.pause()
ready, told = os.pipe()
if os.fork() == 0:
    if os.fork() == 0:
        traced = ctypes.CDLL(None, use_errno=True).ptrace(0x4206, child, 0, 0)  # PTRACE_SEIZE
        os.write(told, b"y" if traced == 0 else b"n")
        signal.pause()
    os._exit(0)
os.wait()
assert os.read(ready, 1) == b"y"
print(end_children([child], time.monotonic() + 0.2) == [child], flush=True)
tracer, = [int(name) for name in os.listdir("/proc") if name.isdigit() and name != str(os.getpid())
           and f"TracerPid:\\t{name}\\n" in open(f"/proc/{child}/status").read()]
os.kill(tracer, signal.SIGKILL)
print(end_children([child], time.monotonic() + 20), flush=True)
"""


@pytest.mark.timeout(60)
def test_one_that_a_debugger_holds_is_given_up_in_time() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=CHECKOUT, capture_output=True, text=True, check=True, timeout=50
    )
    assert ran.stdout.split() == ["True", "[]"]
