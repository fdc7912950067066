"""The unix sockets of a net namespace, by the kernel's own list (sock_diag): of what type, and whose end."""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass

from .process_files import UnreadableError

# <linux/netlink.h>, <linux/sock_diag.h>, <linux/unix_diag.h>
_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_REQUEST_DUMP = 0x301
_ERROR, _DONE = 2, 3
_SHOW_PEER, _PEER = 4, 2
_ALL_STATES, _NO_COOKIE = 0xFFFF_FFFF, 0xFFFF_FFFF
_HEAD = struct.Struct("=IHHII")
_ASKED = struct.Struct("=BBHIIIII")
_TOLD = struct.Struct("=BBBBIII")
_ATTRIBUTE = struct.Struct("=HHI")
_ALIGNED_TO = 4
_MOST_BYTES = 1 << 17
_ANSWERS_WITHIN_S = 5.0
_CLONE_NEWNET = 0x4000_0000
_TYPES: dict[int, str] = {
    socket.SOCK_STREAM: "stream",
    socket.SOCK_DGRAM: "datagram",
    socket.SOCK_SEQPACKET: "packet",
}


@dataclass(frozen=True)
class UnixSocket:
    """One.

    Attributes:
        kind: SOCK_SEQPACKET, for one.
        peer: The inode of the other end; None where there is none.
    """

    kind: int
    peer: int | None

    def __str__(self) -> str:
        kind = _TYPES.get(self.kind, f"type {self.kind}")
        return f"{kind} to {f'socket:[{self.peer}]' if self.peer is not None else 'nobody'}"


def unix_sockets(namespace: str) -> dict[int, UnixSocket]:
    """All of a net namespace, by their inodes.

    Args:
        namespace: Its path below /proc.

    Raises:
        UnreadableError: Whoever runs the audit may not enter it, or the kernel can't tell.
    """
    try:
        with _asking_in(namespace) as asking:
            asking.settimeout(_ANSWERS_WITHIN_S)
            asked = _ASKED.pack(socket.AF_UNIX, 0, 0, _ALL_STATES, 0, _SHOW_PEER, _NO_COOKIE, _NO_COOKIE)
            size = _HEAD.size + len(asked)
            asking.sendto(_HEAD.pack(size, _SOCK_DIAG_BY_FAMILY, _REQUEST_DUMP, 1, 0) + asked, (0, 0))
            return dict(_answers(asking))
    except OSError as error:
        raise UnreadableError(f"unix sockets of {namespace}: {error.strerror or error}") from error


def _asking_in(namespace: str) -> socket.socket:
    """A socket keeps the namespace that it was made in, a thread's; this process stays where it is."""
    if os.readlink(namespace) == os.readlink("/proc/self/ns/net"):
        return _asking()
    made: list[socket.socket] = []
    errors: list[OSError] = []

    def enter_and_make() -> None:
        try:
            _enter(namespace)
            made.append(_asking())
        except OSError as error:
            errors.append(error)

    thread = threading.Thread(target=enter_and_make)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return made[0]


def _enter(namespace: str) -> None:
    """Of the calling thread."""
    fd = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if ctypes.CDLL(None, use_errno=True).setns(fd, _CLONE_NEWNET) < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    finally:
        os.close(fd)


def _asking() -> socket.socket:
    return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG)


def _answers(asking: socket.socket) -> Iterator[tuple[int, UnixSocket]]:
    while True:
        data = memoryview(asking.recv(_MOST_BYTES))
        while data:
            size, kind, *_ = _HEAD.unpack_from(data)
            if kind == _DONE:
                return
            if kind == _ERROR:
                number = -struct.unpack_from("=i", data, _HEAD.size)[0]
                raise OSError(number, os.strerror(number))
            _, type_, _, _, inode, *_ = _TOLD.unpack_from(data, _HEAD.size)
            yield inode, UnixSocket(type_, _peer(data[_HEAD.size + _TOLD.size : size]))
            data = data[_aligned(size) :]


def _peer(attributes: memoryview) -> int | None:
    while len(attributes) >= _ATTRIBUTE.size:
        size, kind, value = _ATTRIBUTE.unpack_from(attributes)
        if kind == _PEER:
            return int(value)
        attributes = attributes[_aligned(size) :]
    return None


def _aligned(size: int) -> int:
    return -(-size // _ALIGNED_TO) * _ALIGNED_TO
