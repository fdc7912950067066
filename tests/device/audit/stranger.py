"""A process that isn't jailed and has what no process of a VM may have; it is called bulkhead, as main is."""

from __future__ import annotations

import mmap
import os
import sys
import threading

with open("/proc/self/comm", "w", encoding="ascii") as name:
    name.write("bulkhead")
left_open = os.open("/etc/passwd", os.O_RDONLY)
os.set_inheritable(left_open, True)
shared = mmap.mmap(-1, mmap.PAGESIZE)
code = mmap.mmap(
    -1,
    mmap.PAGESIZE,
    mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS,
    mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC,
)
ended, end = os.pipe()
child = os.fork()
if child == 0:
    os.close(end)
    os.read(ended, 1)
    os._exit(0)
threading.Thread(target=sys.stdin.read).start()
print("ready", flush=True)
