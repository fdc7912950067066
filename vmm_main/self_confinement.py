"""What main takes from itself once everything is open, and before the guest's first instruction (DESIGN §6).

Each kind of thread has a filter too: `main`, which its threads inherit, and on top of it `vcpu` for those
that run the guest. A reboot makes new vCPU threads, so main's profile allows what theirs does, and what a new
KVM VM takes.
"""

from __future__ import annotations

from posix import readlink, stat, strerror

from vmm_main import log
from vmm_main.errors import HostError
from vmm_main.kvm._kvm import lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")


class _Confinement:
    """Whether confine_main() has put this process under filters, and where it was then."""

    __slots__ = ("is_on", "place")

    def __init__(self) -> None:
        self.is_on = False
        self.place: dict[str, Any] | None = None


_confinement = _Confinement()


def confine_main(*, seccomp: bool) -> None:
    """Drops every capability for good and puts this thread, and all that it makes, under its filter.

    Before another thread is made: capabilities are each thread's own.

    Args:
        seccomp: False is -disable-seccomp: no filters, here or in threads made later.

    Raises:
        HostError: The kernel refuses.
    """
    _check(lib.capabilities_keep(0), "drop capabilities")
    _check(lib.no_new_privileges(), "set no_new_privs")
    if not seccomp:
        lib.filters_disable()
        return
    _check(lib.refused_call_report_to(log.log_fd()), "take refused system calls")
    _check(lib.filters_install(b"main"), "install its system call filter")
    _confinement.is_on = True


def remember_place() -> None:
    """Keeps where this process is, for an audit to ask: before the guest runs, it is where it was started."""
    _confinement.place = place()


def remembered_place() -> dict[str, Any] | None:
    """Where main was started; None if it couldn't see that."""
    return _confinement.place


def place() -> dict[str, Any] | None:
    """This process's namespaces, root and working directories by the kernel's numbers; None without /proc."""
    try:
        found: dict[str, Any] = {"namespaces": [readlink(f"/proc/self/ns/{kind}") for kind in _NAMESPACES]}
        for name, path in (("root directory", "/"), ("working directory", ".")):
            known = stat(path)
            found[name] = {"device": known.st_dev, "inode": known.st_ino}
    except OSError:
        return None
    return found


def confine_vcpu_thread() -> None:
    """Puts the calling thread under the filter of vCPU threads, if this process is under filters at all.

    Raises:
        HostError: The kernel refuses.
    """
    if _confinement.is_on:
        _check(lib.filters_install(b"vcpu"), "install a vCPU thread's system call filter")


def _check(result: int, what: str) -> None:
    if result < 0:
        raise HostError(f"the main process can't {what}: {strerror(-result)}")
