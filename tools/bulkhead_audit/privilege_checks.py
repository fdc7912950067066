"""Who a process is, and what the kernel lets it do: user, capabilities, filters, limits, children."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from .finding import CERTIFIED, OK, UNREAD, Finding, judge
from .installed_filters import installed_filters
from .process import Process, Thread
from .process_files import UnreadableError
from .vm import Vm

# <linux/capability.h>
_CAPABILITIES = {"DAC_READ_SEARCH": 2, "SETGID": 6, "SETUID": 7, "SETPCAP": 8, "SYS_ADMIN": 21, "SETFCAP": 31}
_SETS = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
# What a zygote needs to make devices, and what a spawner must have for the zygotes that it execs.
_ALLOWED_CAPABILITIES = {
    "zygote": ("SETUID", "SETGID"),
    "spawner": ("SYS_ADMIN", "SETUID", "SETGID", "SETPCAP", "DAC_READ_SEARCH", "SETFCAP"),
}
_FILTER_MODE = "2"
_LIMITS = (("nofile", "Max open files"), ("fsize", "Max file size"), ("data", "Max data size"))
_HIGHEST_CAPABILITY = 63


def parentage(process: Process, vm: Vm) -> Iterator[Finding]:
    """Main made it (or had it made), in a session that isn't main's; main knows all that it has made."""
    parent, session = process.parent_and_session
    if process.role != "main":
        main = vm.main.pid
        yield judge("parent", f"main, {main}", str(parent), is_allowed=parent == main)
    if process.role in ("device", "spawner"):
        yield judge("session", f"its own, {process.pid}", str(session), is_allowed=session == process.pid)
    elif process.role == "zygote":
        yield _judge_zygotes_session(vm, session)
    children = ", ".join(f"{pid} ({name})" for pid, name in vm.strangers.get(process.pid, []))
    allowed = "none that isn't listed here" if process.role == "main" else "none"
    yield judge("children", allowed, children or "none", is_allowed=not children)


def _judge_zygotes_session(vm: Vm, session: int) -> Finding:
    """The spawner's, in which it was made, also once the spawner has ended."""
    spawner = next((process.pid for process in vm.processes if process.role == "spawner"), None)
    if spawner is not None:
        return judge("session", f"the spawner's, {spawner}", str(session), is_allowed=session == spawner)
    mains = vm.main.parent_and_session[1]
    return judge("session", f"not main's, {mains}", str(session), is_allowed=session != mains)


def user(process: Process, vm: Vm) -> Iterator[Finding]:
    """Real, effective, saved and file system's; further groups; of a device, what its user namespace maps."""
    uid, gid = process.entitled["uid"], process.entitled["gid"]
    for aspect, name, allowed in (("user", "Uid", uid), ("group", "Gid", gid)):
        found = sorted({int(number) for number in process.status[name].split()})
        yield judge(aspect, str(allowed), ", ".join(map(str, found)), is_allowed=found == [allowed])
    yield _judge_groups(process, vm)
    if process.role != "device":
        return
    for name, allowed in (("uid_map", uid), ("gid_map", gid)):
        found_map = " ".join(process.files.text(name).split())
        yield judge(name, f"0 {allowed} 1", found_map, is_allowed=found_map == f"0 {allowed} 1")


def _judge_groups(process: Process, vm: Vm) -> Finding:
    """Who isn't of another user than main has main's, which nobody but who started it can judge."""
    groups, mains = process.status["Groups"], vm.main.status["Groups"]
    if process.role == "main":
        allowed = "any: they are given by who starts it"
        return Finding("further groups", allowed, groups or "none", OK)
    has_mains = process.role != "device" or process.entitled["uid"] == vm.main.entitled["uid"]
    if not has_mains:
        return judge("further groups", "none", groups or "none", is_allowed=not groups)
    return judge("further groups", f"main's: {mains or 'none'}", groups or "none", is_allowed=groups == mains)


def capabilities(process: Process, _vm: Vm) -> Iterator[Finding]:
    """Of every thread, in every set; what the bounding set of an ordinary user holds can't be had."""
    names = _ALLOWED_CAPABILITIES.get(process.role, ())
    allowed = sum(1 << _CAPABILITIES[name] for name in names)
    is_users = process.entitled["uid"] != 0 and process.role in ("main", "spawner")
    excess: dict[str, int] = {}
    for thread in _own_threads(process):
        for name in _SETS:
            if name != "CapBnd" or not is_users:
                excess[name] = excess.get(name, 0) | (int(thread.status[name], 16) & ~allowed)
    found = ", ".join(f"{name} {_names(mask)}" for name, mask in excess.items() if mask)
    shown = f"at most {', '.join(names)}" if names else "none"
    yield judge("capabilities", shown, found or ("no others" if names else "none"), is_allowed=not found)


def no_new_privs(process: Process, _vm: Vm) -> Iterator[Finding]:
    """No exec can give a thread more."""
    missing = [str(thread.tid) for thread in _own_threads(process) if thread.status["NoNewPrivs"] != "1"]
    found = f"not set in thread {', '.join(missing)}" if missing else "set"
    yield judge("no_new_privs", "set", found, is_allowed=not missing)


def system_calls(process: Process, vm: Vm) -> Iterator[Finding]:
    """The threads there are, and the filters on each."""
    by_kind, excess = _threads_by_kind(process)
    for kind, threads in by_kind:
        yield _filters_of(kind["thread"], threads, kind["profiles"], kind["system-calls"])
        if vm.programs is not None and kind["profiles"]:
            yield _programs_of(kind["thread"], threads, kind["profiles"], vm.programs)
    allowed = ", ".join(
        f"{kind['most']} {kind['thread']}" for kind in process.entitled["threads"] if kind["most"]
    )
    yield _judge_threads(allowed, excess)


def _threads_by_kind(process: Process) -> tuple[list[tuple[dict[str, Any], list[Thread]]], list[Thread]]:
    """The threads of each kind of which there are some, and those that shouldn't be there."""
    entitled = process.entitled["threads"]
    known = {tid: kind["thread"] for kind in entitled for tid in kind["ids"]}
    # At most one kind has threads whose numbers main doesn't know: a device's workers.
    others = next((kind["thread"] for kind in entitled if len(kind["ids"]) < kind["most"]), None)
    by_kind: dict[str | None, list[Thread]] = {}
    for thread in _own_threads(process):
        by_kind.setdefault(known.get(thread.tid, others), []).append(thread)
    excess = by_kind.get(None, [])
    found = [(kind, by_kind[kind["thread"]]) for kind in entitled if kind["thread"] in by_kind]
    for kind, threads in found:
        excess += threads[kind["most"] :]
    return found, excess


def spawner_system_calls(process: Process, _vm: Vm) -> Iterator[Finding]:
    """It has no filter, and one thread."""
    mode = process.status["Seccomp"]
    yield Finding(
        "system calls", "all: it takes one byte and execs", "all" if mode == "0" else "filtered", OK
    )
    yield _judge_threads("1", _own_threads(process)[1:])


def _judge_threads(allowed: str, excess: list[Thread]) -> Finding:
    found = ", ".join(f"{thread.tid} ({thread.status['Name']})" for thread in excess)
    found = f"also {found}" if found else "no others"
    return judge("threads", f"at most {allowed}", found, is_allowed=not excess)


def _filters_of(kind: str, threads: list[Thread], profiles: list[str], calls: list[str]) -> Finding:
    aspect = f"system calls of {kind}"
    if not profiles:
        return judge(aspect, "those of its profile", "all: -disable-seccomp was given", is_allowed=False)
    number = len({call.partition(" ")[0] for call in calls})
    allowed = f"{number} ({len(calls)} rules), by {' and '.join(profiles)}"
    wrong = [
        f"thread {thread.tid}: {thread.status['Seccomp_filters']} filters, mode {thread.status['Seccomp']}"
        for thread in threads
        if thread.status["Seccomp"] != _FILTER_MODE or int(thread.status["Seccomp_filters"]) != len(profiles)
    ]
    right = f"{len(profiles)} filter{'s' if len(profiles) > 1 else ''} on each of {len(threads)}"
    return judge(aspect, allowed, "; ".join(wrong) or right, is_allowed=not wrong)


def _programs_of(
    kind: str, threads: list[Thread], profiles: list[str], programs: dict[str, bytes]
) -> Finding:
    """What is installed, instruction by instruction."""
    allowed = [programs[profile] for profile in profiles]
    names = {program: profile for profile, program in programs.items()}
    wrong = []
    aspect = f"installed filters of {kind}"
    for thread in threads:
        try:
            installed = installed_filters(thread.tid)
        except UnreadableError as error:
            return Finding(aspect, ", ".join(profiles), f"can't be read: {error}", UNREAD)
        if installed != allowed:
            told = ", ".join(names.get(one, f"another of {len(one) // 8} instructions") for one in installed)
            wrong.append(f"thread {thread.tid}: {told or 'none'}")
    right = f"these, {sum(map(len, allowed)) // 8} instructions, on each of {len(threads)}"
    return judge(aspect, ", ".join(profiles), "; ".join(wrong) or right, is_allowed=not wrong)


def limits(process: Process, vm: Vm) -> Iterator[Finding]:
    """A device's, soft and hard; a host's lower limit stands, and of all others main has at least as much."""
    asked = {name: process.entitled["limits"][key] for key, name in _LIMITS} | {"Max core file size": 0}
    for name, allowed in asked.items():
        found = process.limits[name]
        is_allowed = max(found) <= allowed
        yield judge(f"limit: {name[4:]}", f"at most {allowed}", _limits_text(found), is_allowed=is_allowed)
    mains = vm.main.limits
    more = [
        f"{name[4:]} {_limits_text(found)} (main {_limits_text(mains[name])})"
        for name, found in process.limits.items()
        if name not in asked and any(one > most for one, most in zip(found, mains[name], strict=True))
    ]
    yield judge("other limits", "at most main's", ", ".join(more) or "no more", is_allowed=not more)


def _limits_text(limit: tuple[float, float]) -> str:
    soft, hard = ("unlimited" if one == math.inf else str(int(one)) for one in limit)
    return soft if soft == hard else f"{soft}, which it may raise to {hard}"


def dumpable(process: Process, _vm: Vm) -> Iterator[Finding]:
    """/proc gives the files of a process that can't be dumped to root, whoever it runs as."""
    owner, uid = process.files.stat("fd").st_uid, process.entitled["uid"]
    if uid == 0:
        yield Finding("dumpable", "no", "can't be told: it runs as root", UNREAD)
    else:
        yield judge("dumpable", "no", "no" if owner == 0 else "yes", is_allowed=owner == 0)


def landlock(process: Process, vm: Vm) -> Iterator[Finding]:
    """Nobody can see it from outside: what counts is what the process said of itself at its birth."""
    allowed = f"version {vm.host_landlock}" if vm.host_landlock else "none: this host has none"
    if process.certificate is None:
        yield judge("birth certificate", "one", process.certificate_fault, is_allowed=False)
        return
    version = process.certificate["landlock"]
    found = f"version {version}, by its birth certificate" if version else "none, by its birth certificate"
    yield judge("Landlock", allowed, found, is_allowed=version >= vm.host_landlock)


def certified(aspect: str, allowed: str, found: str, *, is_allowed: bool) -> Finding:
    """A finding by what a process said of itself at its birth."""
    finding = judge(aspect, allowed, f"{found}, by its birth certificate", is_allowed=is_allowed)
    return finding if not is_allowed else Finding(aspect, allowed, finding.found, CERTIFIED)


def _own_threads(process: Process) -> list[Thread]:
    return [thread for thread in process.threads if not thread.is_kernels]


def _names(mask: int) -> str:
    known = {number: name for name, number in _CAPABILITIES.items()}
    bits = [bit for bit in range(_HIGHEST_CAPABILITY + 1) if mask >> bit & 1]
    if len(bits) > len(known):
        return f"{mask:#x}"
    return "+".join(known.get(bit, f"number {bit}") for bit in bits)
