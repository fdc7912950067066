#!/usr/bin/env python3
"""Stands in for the VMM and its guest: a shell prompt whose answers can be broken one at a time (FAKE_BREAK).

Commands run in the host's shell, with the few files that the dialogue asks for replaced.
"""

from __future__ import annotations

import atexit
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

BROKEN = os.environ.get("FAKE_BREAK", "")
BOOT_ID = "12345678-1234-1234-1234-123456789abc"


def say(text: str) -> None:
    """Writes to the serial port, with its line ends."""
    sys.stdout.write(text.replace("\n", "\r\n"))
    sys.stdout.flush()


def prepare(root: Path) -> dict[str, str]:
    """Makes the guest's files and programs; returns what a command line's paths become."""
    files = {
        "/proc/meminfo": f"MemTotal:  {4096 if BROKEN == 'memory' else 215000} kB\nMemFree: 1 kB\n",
        "/sys/devices/system/clocksource/clocksource0/current_clocksource": "\n"
        if BROKEN == "clock"
        else "kvm-clock\n",
        "/proc/sys/kernel/random/boot_id": f"{BOOT_ID}\n",
        "/dev/hwrng": "the same bytes every time" if BROKEN == "random" else "",
        "/proc/mounts": f"/dev/vda / ext4 {'ro' if BROKEN == 'mount' else 'rw'},relatime 0 0\n",
        "/root/kept": "",
        "/proc/sys/vm/drop_caches": "",
    }
    programs = {
        "uname": "exit 1" if BROKEN == "kernel" else "echo 6.1.0-1-cloud-amd64",
        "nproc": f"echo {3 if BROKEN == 'cpus' else 1}",
        "dmesg": '[ "$*" = "-n 1" ]',
        # A disk that forgets does so when it is mounted anew.
        "mount": f": >{root}/root_kept" if BROKEN == "disk" else '[ "$1" = -o ]',
    }
    replaced: dict[str, str] = {}
    if BROKEN == "nonce":
        programs["sha256sum"] = f"echo {'0' * 64}  -"
    if BROKEN != "random":
        del files["/dev/hwrng"]
        replaced["/dev/hwrng"] = "/dev/urandom"
    for path, content in files.items():
        file = root / path[1:].replace("/", "_")
        file.write_text(content)
        replaced[path] = str(file)
    (root / "bin").mkdir()
    for name, script in programs.items():
        (root / "bin" / name).write_text(f"#!/bin/sh\n{script}\n")
        (root / "bin" / name).chmod(0o755)
    os.environ["PATH"] = f"{root}/bin:{os.environ['PATH']}"
    return replaced


def serve_qmp(listening: socket.socket) -> None:
    """Answers one client as the VMM would."""
    device = {"id": "rng0", "kind": "virtio-rng", "pid": os.getpid(), "uid": 7, "state": "running"}
    if BROKEN == "processes":
        del device["pid"]
    client, _ = listening.accept()
    with client, client.makefile("rw") as lines:
        answers: tuple[dict[str, object], ...] = ({"QMP": {}}, {"return": {}}, {"return": [device]})
        for answer in answers:
            lines.write(json.dumps(answer) + "\n")
            lines.flush()
            lines.readline()


def main() -> int:
    """Boots, talks, powers off."""
    listening = socket.socket(socket.AF_UNIX)
    path = sys.argv[sys.argv.index("-qmp") + 1].removeprefix("unix:").partition(",")[0]
    listening.bind(path)
    atexit.register(os.unlink, path)
    listening.listen()
    threading.Thread(target=serve_qmp, args=(listening,), daemon=True).start()
    if BROKEN == "boot":
        say("Kernel panic - not syncing: No working init found\n")
        return 0
    with tempfile.TemporaryDirectory() as directory:
        replaced = prepare(Path(directory))
        say("[    0.0] Linux version 6\n\nguest# ")
        for line in sys.stdin:
            say(line)  # the terminal's echo
            if line.strip() == "poweroff":
                say("" if BROKEN == "poweroff" else "[    9.9] reboot: Power down\n")
                return 3 if BROKEN == "exit" else 0
            if BROKEN == "silence":
                return 0
            for path, replacement in replaced.items():
                line = line.replace(path, replacement)  # noqa: PLW2901 - the same line, elsewhere
            ran = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False)
            say(ran.stdout + ran.stderr + "guest# ")
    return 0


sys.exit(main())
