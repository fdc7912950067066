"""The processes that a command has started, wherever they are: they have its directory about them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

# Before a command that a signal is to end: whoever started the tests may have it ignored (nohup, "&").
WITH_DEFAULT_SIGNALS = ("env", "--default-signal")


def processes_with(directory: str) -> list[str]:
    """Command lines of all that were started with it as TMPDIR, or that name it."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command, environment = ((process / name).read_bytes() for name in ("cmdline", "environ"))
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # it has gone, or is another user's
        if directory.encode() in command + environment:
            found.append(command.decode(errors="replace"))
    return found


def tell_unread_errors(process: subprocess.Popen[bytes]) -> None:
    """Prints what is left on its standard error, a pipe: pytest shows it if the test fails."""
    assert process.stderr is not None
    if not process.stderr.closed:
        os.set_blocking(process.stderr.fileno(), False)  # a process of its may still hold the other end
        sys.stderr.write((process.stderr.read() or b"").decode(errors="replace"))
