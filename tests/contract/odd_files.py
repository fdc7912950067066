"""Files of every kind that an option can't use, made in a directory."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

from tests.unit.guest_boot.synthetic_kernels import bzimage, elf


def _make_socket(path: Path) -> None:
    """A socket file that nobody listens on."""
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(path))


def _unreadable(path: Path) -> None:
    path.write_bytes(b"secret" * 1000)
    path.chmod(0)


# How each is made at a path; those without an entry are names for which nothing has to be made.
MAKERS: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("#!/bin/sh\nexit 0\n"),
    "zeros": lambda path: path.write_bytes(bytes(1 << 20)),
    "short": lambda path: path.write_bytes(b"\x90\x90"),
    "gzip": lambda path: path.write_bytes(b"\x1f\x8b\x08" + bytes(range(256))),
    "unreadable": _unreadable,
    "directory": lambda path: path.mkdir(),
    "fifo": os.mkfifo,
    "socket": _make_socket,
    "loop": lambda path: path.symlink_to(path),
    "dangling": lambda path: path.symlink_to(path.parent / "nothing-there"),
    "truncated bzimage": lambda path: path.write_bytes(bzimage()[:0x300]),
    "truncated elf": lambda path: path.write_bytes(elf()[:0x30]),
}


def path_of(kind: str, directory: Path) -> str:
    """The name of a file of that kind, made if it has to be."""
    path = directory / "odd"
    if kind in MAKERS:
        MAKERS[kind](path)
        return str(path)
    if kind == "beneath a file":
        path.write_text("x")
        return str(path / "below")
    names = {
        "missing": str(path),
        "device": "/dev/null",
        "in a missing directory": str(directory / "missing" / "file"),
        "too long": str(directory / ("n" * 256)),
        "control characters": str(directory / "a\nb\x1b[31m"),
    }
    return names[kind]
