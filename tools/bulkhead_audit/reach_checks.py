"""What a process can reach by what it has open or mapped: files, memory shared with others, code."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .code_files import is_code
from .descriptors import EVENTFD, IO_URING, Descriptor
from .finding import OK, Finding, judge
from .process import Process
from .vm import Vm

_STANDARD = (0, 1, 2)


def birth_certificate(process: Process, vm: Vm) -> Iterator[Finding]:
    """What a process said of itself at its birth still is so."""
    told = process.certificate
    if told is None:
        return
    links = set(process.namespaces.values())
    wrong = [link for link in told["namespaces"] if link not in links]
    then, now = told["uid_map"].split(), process.files.text("uid_map").split()
    if process.entitled["uid"] == vm.main.entitled["uid"]:
        # An ordinary user's zygote has a user namespace, in which the uid has another number than here.
        then[1:2], now[1:2] = [], []
    if then != now:
        wrong.append(f"its uid_map {' '.join(then)}")
    found = f"it had {', '.join(wrong)}" if wrong else "the same"
    yield judge("birth certificate", "as it is now", found, is_allowed=not wrong)


def descriptors(process: Process, vm: Vm) -> Iterator[Finding]:
    """Of a device: what it was given, and what it makes for itself, which nobody else has."""
    makes = {one["what"]: one["most"] for one in process.entitled["own-descriptors"]}
    made: dict[str, int] = {}
    given = {descriptor: _role(process, descriptor) for descriptor in process.descriptors}
    links = {descriptor.link for descriptor, role in given.items() if role is not None}
    for descriptor, role in given.items():
        if role is not None:
            is_allowed = role["access"] == "rw" or descriptor.access in (role["access"], "")
            allowed = f"{role['role']} ({role['access']})"
            yield judge("descriptor", allowed, str(descriptor), is_allowed=is_allowed)
        elif descriptor.is_null and descriptor.number in _STANDARD:
            yield Finding("descriptor", "/dev/null", str(descriptor), OK)
        elif descriptor.link in makes:
            made[descriptor.link] = made.get(descriptor.link, 0) + 1
            is_few = made[descriptor.link] <= makes[descriptor.link]
            yield _judge_own(process, vm, descriptor, links, is_few=is_few)
        else:
            yield judge("descriptor", "none of this kind", str(descriptor), is_allowed=False)


def _role(process: Process, descriptor: Descriptor) -> dict[str, Any] | None:
    entitled: list[dict[str, Any]] = process.entitled["descriptors"]
    return next((role for role in entitled if descriptor.is_the(role)), None)


def _judge_own(process: Process, vm: Vm, descriptor: Descriptor, given: set[str], *, is_few: bool) -> Finding:
    others: list[str] = []
    if descriptor.link == EVENTFD and descriptor.eventfd_id is not None:
        others = sorted(one.name for one in vm.eventfd_owners[descriptor.eventfd_id] - {process})
    allowed = "its own, nobody else's"
    found = f"{descriptor}, also held by {' and '.join(others)}" if others else str(descriptor)
    strange: tuple[str, ...] = ()
    if descriptor.link == IO_URING:
        allowed = "its own ring, on what it was given"
        sockets = [role for role in process.entitled["descriptors"] if "inode" in role]
        ends = {f"socket:[{role['inode']}]" for role in sockets if "device" not in role}
        names = given | ends | {link.rpartition("/")[2] for link in given}
        strange = tuple(name for name in descriptor.registered if name not in names)
        found += f" with {', '.join(strange or descriptor.registered) or 'nothing'}"
    return judge("descriptor", allowed, found, is_allowed=is_few and not others and not strange)


def simple_descriptors(process: Process, vm: Vm) -> Iterator[Finding]:
    """Of a spawner and a zygote: one socket, to main."""
    sockets = 0
    for descriptor in process.descriptors:
        if descriptor.is_null and descriptor.number in _STANDARD:
            yield Finding("descriptor", "/dev/null", str(descriptor), OK)
            continue
        sockets += 1
        socket = vm.unix_sockets.get(descriptor.inode) if descriptor.link.startswith("socket:") else None
        is_allowed = sockets == 1 and socket is not None and vm.is_end_of_mains(socket)
        found = f"{descriptor}, {socket}" if socket is not None else str(descriptor)
        yield judge("descriptor", "its packet socket to main, nothing else", found, is_allowed=is_allowed)


def shared_memory(process: Process, _vm: Vm) -> Iterator[Finding]:
    """What is mapped shared is meant to be; files that are only read are mapped_files()'s."""
    rings = {one["what"] for one in process.entitled["own-descriptors"]}
    for mapping in process.mappings:
        if not mapping.is_shared:
            continue
        roles = [role for role in process.entitled["shared-memory"] if mapping.is_the(role)]
        if roles:
            is_allowed = roles[0]["writable"] or not mapping.is_writable
            access = "rw" if roles[0]["writable"] else "r"
            yield judge(
                "shared memory", f"{roles[0]['role']} ({access})", str(mapping), is_allowed=is_allowed
            )
        elif mapping.path in rings or (process.role == "main" and mapping.path.startswith("anon_inode:kvm-")):
            yield Finding("shared memory", "shared with the kernel alone", str(mapping), OK)
        elif mapping.is_writable or not mapping.inode:
            yield judge("shared memory", "none of this kind", str(mapping), is_allowed=False)


def code(process: Process, _vm: Vm) -> Iterator[Finding]:
    """Nothing is both code and writable, and all code comes from files that have a name."""
    wrong = [str(one) for one in process.mappings if one.is_executable and not is_code(process, one)]
    found = "; ".join(wrong) or "all from files, none of it writable"
    yield judge("code", "from files, not writable", found, is_allowed=not wrong)


def mapped_files(process: Process, vm: Vm) -> Iterator[Finding]:
    """A device maps no file but those of the program, which main and its zygote map too."""
    entitled = {(role["device"], role["inode"]) for role in process.entitled["shared-memory"]}
    wrong = sorted(
        {
            mapping.path
            for mapping in process.mappings
            if mapping.inode
            and not (mapping.is_shared and mapping.is_writable)
            and (mapping.device, mapping.inode) not in vm.program_files | entitled
        }
    )
    found = ", ".join(wrong) or "no others"
    yield judge("mapped files", "the program's", found, is_allowed=not wrong)
