#!/usr/bin/env python3
"""Stands in for QEMU and the box's PID 1: takes QEMU's command line, does what BOX_FAKE says.

BOX_FAKE is a comma-separated list, one word for each boot: "run" runs the command as the box would; "hang"
says one thing and no more; "die" ends in boot; "vanish" ends while the command runs; "refuse" says that it
can't; "deaf" runs, and ignores the request to terminate. BOX_FAKE_COUNT is a file that counts the boots.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path


def channel(name: str) -> socket.socket:
    """The socket behind `-chardev socket,id=NAME,fd=N`."""
    found = re.search(rf"socket,id={name},fd=(\d+)", " ".join(sys.argv))
    assert found is not None
    return socket.socket(fileno=int(found.group(1)))


def share() -> Path:
    """The writable share's path."""
    found = re.search(r"local,id=share,path=([^ ]*),security_model", " ".join(sys.argv))
    assert found is not None
    return Path(found.group(1))


def run_command(deaf: bool) -> None:
    """Runs what the share asks for, with the standard streams that QEMU would give to the box."""
    streams = {name: channel(name) for name in ("stdin", "stdout", "stderr", "control")}
    for name in ("stdin", "control"):
        greeting = streams[name].recv(len(b"greeting\n"), socket.MSG_WAITALL)
        assert greeting == b"greeting\n"
    process = subprocess.Popen(
        ["sh", str(share() / "command")],
        stdin=streams["stdin"].fileno(),
        stdout=streams["stdout"].fileno(),
        stderr=streams["stderr"].fileno(),
        start_new_session=True,
    )

    def obey() -> None:
        if streams["control"].recv(64).startswith(b"terminate") and not deaf:
            os.killpg(process.pid, signal.SIGTERM)

    threading.Thread(target=obey, daemon=True).start()
    status = process.wait()
    paths = (share() / "bring_back").read_text().split()
    found = [path.removeprefix("/") for path in paths if Path(path).exists()]
    missing = [path for path in paths if not Path(path).exists()]
    if found:
        subprocess.run(["tar", "-cf", str(share() / "brought_back.tar"), "-C", "/", *found], check=True)
        for path in found:
            Path("/", path).unlink()
    if missing:
        (share() / "missing").write_text("".join(f"{path}\n" for path in missing))
    (share() / "status").write_text(f"{status if status >= 0 else 128 - status}\n")


def main() -> None:
    """Boots, or not."""
    counter = Path(os.environ["BOX_FAKE_COUNT"])
    boot = len(counter.read_text()) if counter.exists() else 0
    counter.write_text("x" * (boot + 1))
    behaviour = os.environ["BOX_FAKE"].split(",")[boot]
    log = channel("log")
    log.sendall(b"[    0.0] Linux version 6\r\nBOX: kernel is up\r\n")
    if behaviour == "hang":
        signal.pause()
    elif behaviour == "refuse":
        log.sendall(b"BOX: failed: there is no KVM in here\r\n")
    elif behaviour == "vanish":
        log.sendall(b"BOX: command starts\r\n[   9.9] Kernel panic\r\n")
    elif behaviour in ("run", "deaf"):
        log.sendall(b"BOX: command starts\r\n")
        run_command(behaviour == "deaf")


main()
