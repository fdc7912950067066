"""Has KVM's share of a start done while Python still imports (early_setup.c; docs/decisions/0004).

Not before -daemonize has forked, and not before the processes of devices have been asked for, since no child
may have /dev/kvm: a command line with those options begins it later, in start.py.
"""

from __future__ import annotations

from vmm_main.kvm._kvm import lib

_LATER = {"-daemonize", "--daemonize", "-device", "--device"}


def begin_early_setup() -> None:
    """Begins, if that hasn't been done before. Whatever fails will fail again in its place, with its text."""
    lib.kvm_early_setup_begin()


def begin_unless_later(arguments: list[str]) -> None:
    """Begins at once if nothing on the command line, which nobody has read yet, could speak against it."""
    if _LATER.isdisjoint(arguments):
        begin_early_setup()
