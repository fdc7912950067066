"""What the main process can reach by what it has open."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from .descriptors import Descriptor, read_descriptors
from .finding import DIFFERENCE, OK, Finding
from .process import Process
from .vm import Vm

_STANDARD = (0, 1, 2)
_OWN_MEMORY = "/memfd:bulkhead-"
_ALLOWED = "what it was told to open, or has for clients and devices"


def descriptors(process: Process, vm: Vm) -> Iterator[Finding]:
    """What it has before it tells what it has, and still has afterwards, is among what it tells.

    So clients may come and go and devices be replaced meanwhile: what is there all along, it knows of.
    """
    still = set(read_descriptors(process.files))
    held = [one for one in process.descriptors if one in still and one.number not in _STANDARD]
    strange = dict(_strange(held, process, vm))
    for descriptor, allowed in strange.items():
        left_open = "" if descriptor.closes_on_exec else ", left open by who started it"
        yield Finding("descriptor", allowed, f"{descriptor}{left_open}", DIFFERENCE)
    if not strange:
        yield Finding("descriptors", _ALLOWED, f"{len(held)}, and the standard ones", OK)


def _strange(held: list[Descriptor], process: Process, vm: Vm) -> Iterator[tuple[Descriptor, str]]:
    """Those that main shouldn't have, and what is allowed instead."""
    makes = {one["what"]: one["most"] for one in process.entitled["own-descriptors"]}
    memory = process.entitled["shared-memory"]
    pids = {one.pid for one in vm.processes}
    count: Counter[object] = Counter()
    for one in held:
        roles = [role for role in process.entitled["descriptors"] if one.is_the(role)]
        if not one.closes_on_exec:
            yield one, "none that isn't closed on exec"
        elif one.pidfd_of is not None:
            if one.pidfd_of not in pids and not one.is_of_a_dead_process:
                yield one, "of a process of this VM"
        elif one.link.startswith(_OWN_MEMORY):
            if not any(one.is_the(role) for role in memory):
                yield one, "of memory of this VM"
        elif roles and not any(set(one.access) <= set(role["access"]) for role in roles):
            yield one, " and ".join(sorted({f"{role['role']} ({role['access']})" for role in roles}))
        elif roles:
            count[one.identity] += 1
            if count[one.identity] > len(roles):
                yield one, f"{roles[0]['role']}, as often as it tells: {len(roles)} times"
        else:
            most = makes.get(one.kind, 0)
            count[one.kind] += 1
            if count[one.kind] > most:
                yield one, f"at most {most} of this kind" if most else _ALLOWED
