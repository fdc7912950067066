"""What the main process can reach by what it has open."""

from __future__ import annotations

from collections.abc import Iterator

from .descriptors import EVENTFD
from .finding import Finding, judge
from .process import Process
from .vm import Vm

_STANDARD = (0, 1, 2)


def inherited_descriptors(process: Process, _vm: Vm) -> Iterator[Finding]:
    """Of main: what it opens closes on exec, so what doesn't was left open by whoever started it."""
    strange = [
        str(descriptor)
        for descriptor in process.descriptors
        if not descriptor.closes_on_exec and descriptor.number not in _STANDARD
    ]
    count = len(process.descriptors)
    found = f"left open by who started it: {'; '.join(strange)}" if strange else f"{count}, all opened by it"
    yield judge("descriptors", "standard ones, and what it was told to open", found, is_allowed=not strange)


# What main makes for itself and for its devices, as the kernel calls it. Sockets and pipes: QMP, chardevs.
_MAKES = ("socket:", "pipe:", "/memfd:bulkhead-", "anon_inode:kvm-vm", "anon_inode:kvm-vcpu:", EVENTFD,
          "anon_inode:[eventpoll]", "anon_inode:[pidfd]", "anon_inode:[signalfd]")  # fmt: skip
_OPENS = ("/dev/kvm", "/dev/null", "/dev/ptmx", "/dev/pts/ptmx", "/run/bulkhead/uids.lock")


def files_of_main(process: Process, _vm: Vm) -> Iterator[Finding]:
    """Of main: every file it has open is one that it was told to open, or was given."""
    told = [process.files.real_path(path) for path in process.entitled["files"]]
    for descriptor in process.descriptors:
        link = descriptor.link.removesuffix(" (deleted)")
        if descriptor.number in _STANDARD or link in _OPENS or link.startswith(_MAKES):
            continue
        is_told = link in told or any(descriptor.is_the(role) for role in process.entitled["descriptors"])
        yield judge("file", "one that it was told to open", str(descriptor), is_allowed=is_told)
