"""Where a process is: its namespaces, its network, its mounts, its root and working directories, Landlock.

A device is in a place of its own, where there is nothing. Main is where whoever runs the VM has started it,
which may be the host or a jail of a launcher's, and so are the two that make devices.
"""

from __future__ import annotations

from collections.abc import Iterator

from .finding import OK, Finding, judge
from .mounts import Mount, read_mounts
from .privilege_checks import certified
from .process import Process
from .vm import Vm

_ROOT_OPTIONS = {"ro", "nosuid", "nodev", "noexec"}
_RULESET = "anon_inode:[landlock-ruleset]"
_SHOWN = 5


def namespaces(process: Process, vm: Vm) -> Iterator[Finding]:
    """A device's are its own, but for the VM's empty net namespace."""
    for kind, link in process.namespaces.items():
        others = vm.namespace_owners[link] - {process}
        names = sorted(other.name for other in others if kind != "net" or other.role == "main")
        if link in vm.namespaces_around[kind] and vm.main not in others:
            names.insert(0, "the host")
        allowed = "this VM's alone" if kind == "net" else "its own"
        found = f"{link}, that of {' and '.join(names)}" if names else link
        yield judge(f"{kind} namespace", allowed, found, is_allowed=not names)


def certified_namespaces(process: Process, vm: Vm) -> Iterator[Finding]:
    """The same by the birth certificate."""
    assert process.certificate is not None
    for link in process.certificate["namespaces"]:
        kind = link.partition(":")[0]
        around = link in vm.namespaces_around.get(kind, set())
        found = f"{link}, that of the host" if around else link
        allowed = "this VM's alone" if kind == "net" else "its own"
        yield certified(f"{kind} namespace", allowed, found, is_allowed=not around)


def hosts_namespaces(process: Process, vm: Vm) -> Iterator[Finding]:
    """Main's are those that it was started in, and the spawner's are the same."""
    for kind, link in process.namespaces.items():
        yield _judge_started(process, vm, kind, link)


def zygote_namespaces(process: Process, vm: Vm) -> Iterator[Finding]:
    """It has the VM's net namespace; without uids to give, a user namespace in which it makes others."""
    own = {"net"}
    if any(other.role == "device" for other in vm.processes) and not _has_own_uids(vm):
        own.add("user")
    for kind, link in process.namespaces.items():
        if kind in own:
            around = link in vm.namespaces_around[kind]
            found = f"{link}, that of the host" if around else link
            yield judge(f"{kind} namespace", "not the host's", found, is_allowed=not around)
        else:
            yield _judge_started(process, vm, kind, link)


def _judge_started(process: Process, vm: Vm, kind: str, link: str) -> Finding:
    allowed = "that it was started in" if process.role == "main" else "main's"
    return judge(f"{kind} namespace", allowed, link, is_allowed=link in vm.place["namespaces"])


def network(process: Process, _vm: Vm) -> Iterator[Finding]:
    """Nothing but a loopback."""
    lines = process.files.text("net/dev").splitlines()[2:]
    names = [line.partition(":")[0].strip() for line in lines]
    found = ", ".join(names) or "none"
    yield judge("network interfaces", "lo at most", found, is_allowed=set(names) <= {"lo"})


def mounts(process: Process, _vm: Vm) -> Iterator[Finding]:
    """One, empty and read-only."""
    yield _judge_empty(process.files.text("mountinfo"))


def root_directory(process: Process, _vm: Vm) -> Iterator[Finding]:
    """Nothing is in it."""
    names = process.files.names("root")
    shown = ", ".join(sorted(names)[:_SHOWN])
    yield judge("root directory", "empty", shown or "empty", is_allowed=not names)


def working_directory(process: Process, _vm: Vm) -> Iterator[Finding]:
    """The process is in its root."""
    root, working = process.files.identity("root"), process.files.identity("cwd")
    found = "its root" if working == root else process.files.link("cwd")
    yield judge("working directory", "its root", found, is_allowed=working == root)


def certified_mounts(process: Process, _vm: Vm) -> Iterator[Finding]:
    """The same by the birth certificate."""
    assert process.certificate is not None
    finding = _judge_empty(process.certificate["mountinfo"])
    yield certified("mounts", finding.allowed, finding.found, is_allowed=finding.verdict == OK)


def _judge_empty(mountinfo: str) -> Finding:
    found = read_mounts(mountinfo)
    allowed = "one, empty: tmpfs on / (ro,nosuid,nodev,noexec)"
    is_allowed = len(found) == 1 and (found[0].kind, found[0].point) == ("tmpfs", "/")
    is_allowed = is_allowed and set(found[0].options) >= _ROOT_OPTIONS
    return judge("mounts", allowed, _listed(found), is_allowed=is_allowed)


def hosts_mounts(process: Process, vm: Vm) -> Iterator[Finding]:
    """Main sees what whoever runs it has given it, and the spawner and zygotes see the same.

    Which mounts these are is not Bulkhead's to say: that they are no others than main was started with is.
    """
    seen = read_mounts(process.files.text("mountinfo"))
    found = f"{len(seen)}, {sum(mount.is_writable for mount in seen)} of them writable"
    is_allowed = process.namespaces["mnt"] in vm.place["namespaces"]
    if process.role == "main":
        allowed, started = "those of the namespace that it was started in", "that it was started in"
    else:
        allowed = started = "main's"
        expected = read_mounts(vm.main.files.text("mountinfo"))
        is_allowed = is_allowed and seen == expected
        more = [mount for mount in seen if mount not in expected]
        found = f"{found}, not main's: {_listed(more)}" if more else found
    yield judge("mounts", allowed, found, is_allowed=is_allowed)
    for aspect, name in (("root directory", "root"), ("working directory", "cwd")):
        is_allowed = process.files.identity(name) == vm.place[aspect]
        yield judge(aspect, started, process.files.link(name), is_allowed=is_allowed)


def makers_landlock(process: Process, vm: Vm) -> Iterator[Finding]:
    """Of those that aren't jailed: none of their own.

    The kernel shows a process's Landlock to nobody. What shows is a set of rules that is held open; and
    where there are devices, what Landlock would have refused: they have mounted a root of their own.
    """
    if not vm.host_landlock:
        yield Finding("Landlock", "none: this host has none", "none", OK)
        return
    held = [str(descriptor) for descriptor in process.descriptors if descriptor.link == _RULESET]
    has_devices = any(other.role == "device" and other.certificate is not None for other in vm.processes)
    around = (
        "nor a launcher's: devices could mount their roots"
        if has_devices
        else "a launcher's would not be seen"
    )
    found = f"holds rules of it: {', '.join(held)}" if held else f"none by its program, {around}"
    yield judge("Landlock", "none of its own", found, is_allowed=not held)


def _listed(mounts: list[Mount]) -> str:
    shown = ", ".join(map(str, mounts[:_SHOWN]))
    return shown if len(mounts) <= _SHOWN else f"{shown} and {len(mounts) - _SHOWN} more"


def _has_own_uids(vm: Vm) -> bool:
    return any(
        process.role == "device" and process.entitled["uid"] != vm.main.entitled["uid"]
        for process in vm.processes
    )
