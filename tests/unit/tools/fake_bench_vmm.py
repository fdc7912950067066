"""Stands in for a VMM that is measured: writes the guest's byte, and holds as much memory as it is told to.

    fake_bench_vmm.py BEHAVIOUR [what a VMM would get...]

BEHAVIOUR is a word, or `hold=MIB`. Every run is noted in $FAKE_BENCH_NOTES.
"""

from __future__ import annotations

import mmap
import os
import signal
import sys

FIRST_BYTE = b"\xf5"
MIB = 1 << 20


def dirty(size: int) -> mmap.mmap:
    """Private memory that is really there."""
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    touch(memory, size)
    return memory


def touch(memory: mmap.mmap, size: int) -> None:
    """Writes to the first size bytes' pages."""
    for offset in range(0, size, mmap.PAGESIZE):
        memory[offset] = 1


def family() -> None:
    """A VMM of three processes, the last without a parent: shared pages, own pages, and guest memory."""
    guest = os.memfd_create("guest")
    os.ftruncate(guest, 256 * MIB)
    inherited = dirty(16 * MIB)
    ready, written = os.pipe()
    if os.fork() == 0:
        mine = dirty(8 * MIB)
        guest_memory = mmap.mmap(guest, 256 * MIB)
        touch(guest_memory, 32 * MIB)
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                orphan = dirty(4 * MIB)
                os.write(written, b"x")
                signal.pause()  # it doesn't end with its standard input
                del orphan
            os._exit(0)
        os.wait()
        os.read(0, 1)
        del mine, inherited, guest_memory
        os._exit(0)
    os.read(ready, 1)


def main() -> None:
    """Behaves."""
    name, behaviour = sys.argv[1:3]
    if sys.argv[3:] == ["--version"]:
        print(f"Fake {name} 1.0")
        return
    with open(os.environ["FAKE_BENCH_NOTES"], "a", encoding="ascii") as notes:
        notes.write(f"{name}\n")
    held = dirty(int(behaviour[5:]) * MIB) if behaviour.startswith("hold=") else None
    if behaviour == "ends":
        sys.stderr.write("no such guest\n")
        sys.exit(3)
    if behaviour == "family":
        family()
    if behaviour == "fickle":
        os.write(1, b"Welcome, byte f5\r\n")
    if behaviour != "mute":
        os.write(1, FIRST_BYTE)
    os.read(0, 1)
    del held


main()
