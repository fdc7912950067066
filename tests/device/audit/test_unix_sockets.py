"""The kernel's list of unix sockets, also that of another net namespace."""

from __future__ import annotations

import os
import signal
import socket

import pytest

from tests.device.audit import raw_calls
from tools.bulkhead_audit.process_files import UnreadableError
from tools.bulkhead_audit.unix_sockets import UnixSocket, unix_sockets

OWN = "/proc/self/ns/net"


def inode_of(one: socket.socket) -> int:
    return os.fstat(one.fileno()).st_ino


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET])
def test_both_ends_are_each_others(kind: socket.SocketKind) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, kind)
    with ours, theirs:
        found = unix_sockets(OWN)
        assert found[inode_of(ours)] == UnixSocket(kind, inode_of(theirs))
        assert found[inode_of(theirs)] == UnixSocket(kind, inode_of(ours))


def test_many_are_all_there() -> None:
    """More than one datagram of the kernel's holds."""
    pairs = [socket.socketpair() for _ in range(500)]
    found = unix_sockets(OWN)
    for ours, theirs in pairs:
        assert found[inode_of(ours)].peer == inode_of(theirs)
        ours.close()
        theirs.close()


def test_one_that_is_not_connected_has_no_peer() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as lonely:
        assert unix_sockets(OWN)[inode_of(lonely)] == UnixSocket(socket.SOCK_SEQPACKET, None)


def test_those_of_another_namespace() -> None:
    """Which takes privileges there; the audit stays where it is."""
    before = os.readlink(OWN)
    told, tell = os.pipe()
    pid = raw_calls.clone(raw_calls.NAMESPACES["net"] | raw_calls.NAMESPACES["user"] | signal.SIGCHLD)
    if pid == 0:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        os.write(tell, f"{inode_of(ours)} {inode_of(theirs)}".encode())
        signal.pause()
    try:
        ends = [int(word) for word in os.read(told, 100).split()]
        if os.geteuid() == 0:
            assert unix_sockets(f"/proc/{pid}/ns/net")[ends[0]] == UnixSocket(socket.SOCK_SEQPACKET, ends[1])
            assert unix_sockets(OWN).get(ends[0]) != UnixSocket(socket.SOCK_SEQPACKET, ends[1])
        else:
            with pytest.raises(UnreadableError, match="Operation not permitted"):
                unix_sockets(f"/proc/{pid}/ns/net")
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    assert os.readlink(OWN) == before
