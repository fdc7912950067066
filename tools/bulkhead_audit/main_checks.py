"""What the main process can reach by what it has open or mapped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from .code_files import is_code, is_libcs, is_programs
from .descriptors import Descriptor, read_descriptors
from .finding import DIFFERENCE, OK, Finding, judge
from .mappings import Mapping
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


def mapped_files(process: Process, _vm: Vm) -> Iterator[Finding]:
    """Its program's: those of which it maps code. What is code and may not be, code() tells."""
    memory = process.entitled["shared-memory"]
    code: dict[tuple[int, int], Mapping] = {}
    for one in process.mappings:
        if one.is_executable and one.inode:
            code[one.device, one.inode] = one
    wrong = sorted(
        {
            one.path
            for one in process.mappings
            if one.inode
            and not (one.is_shared and one.is_writable)  # shared_memory()'s
            and not any(one.is_the(role) for role in memory)
            and not _is_programs(process, one, code.get((one.device, one.inode)))
        }
    )
    found = ", ".join(wrong) or "no others"
    yield judge("mapped files", "the program's", found, is_allowed=not wrong)


def _is_programs(process: Process, mapping: Mapping, code: Mapping | None) -> bool:
    if code is None:
        return is_libcs(mapping)
    return not is_code(process, code) or is_programs(process, code)
