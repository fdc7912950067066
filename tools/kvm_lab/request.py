"""What is asked of the box, and how it gets in: files in the share that box_command.sh reads."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class BoxRequest:
    """One command for the box.

    Attributes:
        command: The program and its arguments.
        directory: Where it runs; as on the host.
        environment: All of its environment.
        timeout_s: How long it may run, boot not counted.
        bring_back: Absolute paths that are copied from the box to the host once it has ended.
        writable: Directories of the host that the box may change at once.
        memory_mib: The box's memory, in MiB.
        cpus: The box's CPUs.
        verbose: Whether the box's console goes to standard error.
    """

    command: Sequence[str]
    directory: Path
    environment: Mapping[str, str]
    timeout_s: float = 1800.0
    bring_back: Sequence[Path] = ()
    writable: Sequence[Path] = ()
    memory_mib: int = 4096
    cpus: int = 2
    verbose: bool = False


@dataclass(frozen=True)
class Terminal:
    """The caller's terminal, if the command is to have one in the box.

    Attributes:
        rows: Its height in characters.
        columns: Its width in characters.
    """

    rows: int = field(default=24)
    columns: int = field(default=80)


def command_script(request: BoxRequest) -> str:
    """The shell script that becomes the command."""
    exports = [
        f"export {name}={shlex.quote(value)}"
        for name, value in sorted(request.environment.items())
        if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name)
    ]
    enter = f"cd {shlex.quote(str(request.directory))} || exit 126"
    # Looked up here, because the busybox shell that runs this takes its own commands for those on PATH.
    program = shutil.which(request.command[0], path=request.environment.get("PATH")) or request.command[0]
    run = f"exec {shlex.join([program, *request.command[1:]])}"
    return "\n".join([*exports, enter, run, ""])


def write_request(share: Path, request: BoxRequest, terminal: Terminal | None) -> None:
    """Fills the share."""
    size = terminal or Terminal()
    lines = {
        "command": command_script(request),
        "settings": f"terminal={'yes' if terminal else 'no'} rows={size.rows} columns={size.columns}\n",
        "writable": "".join(f"{path}\n" for path in request.writable),
        "bring_back": "".join(f"{path}\n" for path in request.bring_back),
    }
    for name, content in lines.items():
        (share / name).write_text(content, encoding="utf-8", errors="surrogateescape")
