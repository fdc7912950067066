"""The processes of a running VM, asked for over QMP and shown as a table."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

_DEADLINE_S = 60.0


class ProcessTableError(Exception):
    """The VMM didn't answer, or not as it should."""


def device_processes(qmp_path: Path) -> list[dict[str, Any]]:
    """What query-device-processes returns.

    Raises:
        ProcessTableError: Nobody answers at qmp_path, or with an error.
    """
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_DEADLINE_S)
            connection.connect(str(qmp_path))
            with connection.makefile("rw", encoding="utf-8") as lines:
                lines.readline()  # the greeting
                _execute(lines, "qmp_capabilities")
                answer = _execute(lines, "query-device-processes")
    except (OSError, ValueError) as error:
        raise ProcessTableError(f"QMP at {qmp_path}: {error}") from error
    if not isinstance(answer, list):
        raise ProcessTableError(f"query-device-processes returned {answer!r}")
    return answer


def _execute(lines: Any, command: str) -> Any:
    lines.write(json.dumps({"execute": command}) + "\n")
    lines.flush()
    while True:
        message = json.loads(lines.readline())
        if "return" in message:
            return message["return"]
        if "error" in message:
            raise ProcessTableError(f"{command}: {message['error'].get('desc')}")


def table(main_pid: int, devices: list[dict[str, Any]]) -> list[str]:
    """Lines of a table: main, and each device's process.

    Raises:
        ProcessTableError: A device has no process.
    """
    rows = [("process", "pid", "uid", "state", "own memory")]
    rows.append(("main", str(main_pid), str(os.stat(f"/proc/{main_pid}").st_uid), "running", ""))
    for device in devices:
        if "pid" not in device:
            raise ProcessTableError(f"device {device.get('id')} has no process: it is {device.get('state')}")
        own = f"{device['memory']['anonymous-kib']} KiB" if "memory" in device else ""
        what = f"{device['id']} ({device['kind']})"
        rows.append((what, str(device["pid"]), str(device["uid"]), str(device["state"]), own))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
