"""A program with a stdio chardev and an echoing "guest", for tests that need standard input of its own.

Usage: python -m tests.unit.chardev.stdio_program [BYTES]. It sends BYTES bytes of a known pattern, then
answers each input with its repr(). Some inputs are orders instead: see _Echo.receive(). At an orderly end it
prints a summary on standard error.
"""

from __future__ import annotations

import ctypes
import os
import sys

from tests.unit.chardev.front_end import NotingFrontEnd
from vmm_main.chardev.stdio import StdioChardev
from vmm_main.event_loop import EventLoop
from vmm_main.process_life import EndSignals, open_standard_descriptors
from vmm_main.vm_config import ChardevConfig


def pattern(length: int) -> bytes:
    return b"".join(b"%09d\n" % i for i in range(length // 10))


class _Echo(NotingFrontEnd):
    """Carries out orders about how to end, and echoes everything else."""

    def receive(self, data: bytes) -> None:
        super().receive(data)
        if data == b"ORDER fault":
            ctypes.string_at(0)
        elif data == b"ORDER abort":
            os.abort()
        elif data == b"ORDER exception":
            raise RuntimeError("as ordered")
        elif data == b"ORDER exit":
            sys.exit(7)
        else:
            self.send(repr(data).encode() + b";")

    def receive_break(self) -> None:
        self.send(b"BREAK;")


def main() -> None:
    open_standard_descriptors()
    loop = EventLoop()
    signals = EndSignals(loop)
    signals.on_signal = loop.stop
    backend = StdioChardev(ChardevConfig("serial0", "stdio"), loop)
    backend.on_quit = loop.stop
    echo = _Echo(backend)
    backend.attach(echo)
    echo.send(b"ready;")
    if len(sys.argv) > 1:
        echo.send(pattern(int(sys.argv[1])))
    loop.run()
    sys.stderr.write(f"pending={len(echo.pending)} dropped={backend.dropped_bytes}\n")
    backend.close()
    backend.close()


if __name__ == "__main__":
    main()
