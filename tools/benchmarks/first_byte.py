"""One run: from exec to the guest's first byte, and what the process tree holds at that moment."""

from __future__ import annotations

import ctypes
import os
import select
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tools.benchmarks.first_byte_guest import FIRST_BYTE
from tools.benchmarks.peer import Peer, PeerError
from tools.benchmarks.process_tree import TreeMemory, descendants_of, freeze, measure

_PR_SET_CHILD_SUBREAPER = 36  # <linux/prctl.h>
_QUOTED_BYTES = 600


@dataclass(frozen=True)
class Sample:
    """What one run measured."""

    first_byte_ms: float
    memory: TreeMemory


def adopt_orphans() -> None:
    """Makes processes whose parent ends children of this one, so that a tree is found whole and ended whole.

    Raises:
        OSError: The kernel refuses.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def run_once(peer: Peer, kernel: Path, memory_mib: int, deadline_s: float) -> Sample:
    """Starts a VMM, waits for the byte, measures, and ends every process of it.

    adopt_orphans() must have been called, and this process must have no other children.

    Raises:
        PeerError: It can't be started, ends or closes its output without the byte, or the deadline passes.
    """
    with (
        tempfile.TemporaryDirectory(prefix="bulkhead-bench-") as directory,
        _started(peer, peer.command(kernel, memory_mib, Path(directory))) as (started_ns, output, errors),
    ):
        arrived_ns = _wait_for_byte(peer, output, errors, deadline_s)
        tree = descendants_of(os.getpid())
        freeze(tree)
        memory = measure(tree, memory_mib << 20)
    if memory.processes == 0:
        raise PeerError(f"{peer.name}: every process ended as soon as the byte was there")
    return Sample((arrived_ns - started_ns) / 1e6, memory)


@contextmanager
def _started(peer: Peer, command: list[str]) -> Iterator[tuple[int, int, int]]:
    """Runs a command; gives the moment before exec, its standard output and a file of its standard error."""
    with tempfile.TemporaryFile() as errors:
        stdin, keep_open = os.pipe()
        output, stdout = os.pipe()
        redirected = [
            (os.POSIX_SPAWN_DUP2, stdin, 0),
            (os.POSIX_SPAWN_DUP2, stdout, 1),
            (os.POSIX_SPAWN_DUP2, errors.fileno(), 2),
        ]
        try:
            try:
                started_ns = time.monotonic_ns()
                os.posix_spawnp(command[0], command, os.environ, file_actions=redirected, setsid=True)
            except OSError as error:
                raise PeerError(f"{peer.name}: can't run {command[0]}: {error.strerror}") from error
            finally:
                os.close(stdin)
                os.close(stdout)
            yield started_ns, output, errors.fileno()
        finally:
            end_children()
            os.close(keep_open)
            os.close(output)


def _wait_for_byte(peer: Peer, output: int, errors: int, deadline_s: float) -> int:
    """When the byte came, in ns of the monotonic clock."""
    poll = select.poll()
    poll.register(output, select.POLLIN)
    expires_ns = time.monotonic_ns() + int(deadline_s * 1e9)
    said = b""
    while True:
        left_ms = (expires_ns - time.monotonic_ns()) / 1e6
        if left_ms <= 0 or not poll.poll(left_ms):
            raise PeerError(
                f"{peer.name}: no byte from the guest within {deadline_s:g} s{_quoted(said, errors)}"
            )
        chunk = os.read(output, 1 << 16)
        now_ns = time.monotonic_ns()
        if FIRST_BYTE in chunk:
            return now_ns
        if not chunk:
            raise PeerError(
                f"{peer.name}: it ended, or closed its output, before the guest's byte{_quoted(said, errors)}"
            )
        said = (said + chunk)[-_QUOTED_BYTES:]


def _quoted(said: bytes, errors: int) -> str:
    """What the VMM said, for an error's text."""
    text = said + os.pread(errors, _QUOTED_BYTES, 0)
    return f"; it said: {text.decode(errors='replace').strip()}" if text.strip() else "; it said nothing"


def end_children() -> None:
    """Kills all descendants of this process and waits until none is left."""
    while True:
        for pid in descendants_of(os.getpid()):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return
