"""Each kind of difference, planted in a real process in the place of a real VM's device, is found and named.

The stand-in jails itself as a device does. Without anything planted the audit finds nothing in it; with
something, it finds that and nothing else. To who isn't root the kernel doesn't show all of a device: what is
planted there must be told as not read, and never as right.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator

import pytest

from tests.device.audit import raw_calls  # also: what the stand-in has mapped is mapped here too
from tests.device.audit.stand_in_rig import Entitled, opened, stand_in
from tests.device.supervised_vm import SupervisedVm
from tools.bulkhead_audit.aspects import findings_of
from tools.bulkhead_audit.finding import DIFFERENCE, UNREAD, Finding

IS_ROOT = os.geteuid() == 0
RINGS = ("ring", "ring with a file") if raw_calls.has_io_uring() else ()
# What an ordinary user's kernel doesn't show of a device, by aspect -> what the audit calls it then.
UNREAD_TO_OTHERS = {
    "descriptor": "descriptors",
    **{aspect: aspect for aspect in ("birth certificate", "shared memory", "code", "mapped files")},
    **{f"{which} directory": f"{which} directory" for which in ("root", "working")},
    **{f"installed filters of {kind}": f"installed filters of {kind}" for kind in ("control", "worker")},
}
# An ordinary user has no other user or group to give, and without a user namespace of its own no jail.
ROOTS_ONLY = ("user", "group", "groups", "share user")
_FILTERS = ("system calls", "installed filters")
_NO_FILTERS = {f"{what} of {kind}" for what in _FILTERS for kind in ("control", "worker")}
# What is planted -> the aspects that differ, and what the audit says it has found.
PLANTED: dict[str, tuple[set[str], str]] = {
    "descriptor": ({"descriptor"}, "/etc/passwd (r)"),
    "pipe": ({"descriptor"}, "pipe:["),
    "socket": ({"descriptor"}, "socket:["),
    "eventfds": ({"descriptor"}, "anon_inode:[eventfd]"),
    "sibling's descriptor": ({"descriptor"}, "also held by"),
    "write access": ({"descriptor"}, "urandom (rw)"),
    "ring with a file": ({"descriptor"}, "with /etc/passwd"),
    "sibling's memory": ({"shared memory"}, "rw-s /memfd:bulkhead-black-box"),
    "sibling's memory, read-only": ({"mapped files"}, "/memfd:bulkhead-black-box"),
    "anonymous shared memory": ({"shared memory"}, "rw-s /dev/zero"),
    "code": ({"code"}, "rwxp anonymous"),
    "mapped file": ({"mapped files"}, "/etc/passwd"),
    "no filters": (_NO_FILTERS, "0 filters, mode 0"),
    "control's filter": (
        {"system calls of control", "installed filters of control"},
        "1 filters, mode 2",
    ),
    "worker's filter": (
        {"system calls of worker", "installed filters of worker"},
        "1 filters, mode 2",
    ),
    "another filter": ({"installed filters of worker"}, ": zygote, zygote"),
    "thread": ({"system calls of worker", "installed filters of worker", "threads"}, "also "),
    "no_new_privs": (
        {"no_new_privs", *_NO_FILTERS},
        "not set in thread",
    ),
    "capability": ({"capabilities"}, "CapEff number 13"),
    "user": ({"user", "uid_map"}, ""),
    "group": ({"group", "gid_map"}, ""),
    "groups": ({"further groups"}, "4"),
    "dumpable": ({"dumpable"}, "yes"),
    "Landlock": ({"Landlock"}, "none, by its birth certificate"),
    "certificate": ({"birth certificate"}, "it had ipc:[1]"),
    "session": ({"session"}, ""),
    "parent": ({"parent"}, ""),
    "child": ({"children"}, "("),
    "limits": (
        {"limit: open files", "limit: file size", "limit: data size"},
        "unlimited",
    ),
    "hard limit": ({"limit: open files"}, "which it may raise to"),
    "writable root": ({"mounts"}, "tmpfs on / (rw,"),
    "mount": ({"mounts"}, "tmpfs on / (ro,nosuid,nodev,noexec,relatime), tmpfs on /"),
    "file in root": ({"root directory"}, "left"),
    "host's root": ({"mounts", "root directory", "working directory"}, "bin"),
    "working directory": ({"working directory"}, "/"),
    "page tables": ({"page tables"}, " KiB"),
    "share net": ({"net namespace", "network interfaces"}, "that of main"),
    "share user": ({"user namespace", "uid_map", "gid_map"}, "that of main"),
    "share mnt": (
        {"mnt namespace", "mounts", "root directory", "working directory"},
        "that of main",
    ),
    **{f"share {kind}": ({f"{kind} namespace"}, "that of main") for kind in ("cgroup", "ipc", "pid", "uts")},
}


PLANTED = {
    plant: told
    for plant, told in PLANTED.items()
    if (IS_ROOT or plant not in ROOTS_ONLY) and (RINGS or not plant.startswith("ring"))
}


@pytest.fixture(scope="module")
def entitled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Entitled]:
    vm = SupervisedVm(tmp_path_factory.mktemp("run") / "uids.lock", [{}, {}])
    yield Entitled(vm)
    vm.close()


def test_a_limit_of_which_main_has_less_is_found(entitled: Entitled) -> None:
    most, hard = resource.getrlimit(resource.RLIMIT_MSGQUEUE)
    resource.setrlimit(resource.RLIMIT_MSGQUEUE, (most - 1, hard))
    try:
        with opened(entitled.records()) as vm:
            device = vm.processes[-1]
            device.certificate = entitled.certificate(device.name)
            found = findings_of(device, vm)
    finally:
        resource.setrlimit(resource.RLIMIT_MSGQUEUE, (most, hard))
    (one,) = (finding for finding in found if finding.verdict == DIFFERENCE)
    assert (one.aspect, one.allowed) == ("other limits", "at most main's")
    assert one.found.startswith(f"msgqueue size {most}")


def look_at_stand_in(entitled: Entitled, plant: str) -> list[Finding]:
    """All that is found about a stand-in."""
    with stand_in(entitled, plant) as (record, certificate):
        records = [record if one["name"] == record["name"] else one for one in entitled.records()]
        with opened(records) as vm:
            process = next(process for process in vm.processes if process.name == record["name"])
            process.certificate = certificate
            return findings_of(process, vm)


def aspects_of(found: list[Finding], verdict: str) -> set[str]:
    return {finding.aspect for finding in found if finding.verdict == verdict}


def test_the_kernel_shows_root_everything_and_others_what_is_listed(entitled: Entitled) -> None:
    """Of a real device."""
    with opened(entitled.records()) as vm:
        device = vm.processes[-1]
        device.certificate = entitled.certificate(device.name)
        found = findings_of(device, vm)
    assert aspects_of(found, DIFFERENCE) == set()
    assert aspects_of(found, UNREAD) == (set() if IS_ROOT else set(UNREAD_TO_OTHERS.values()))


@pytest.mark.parametrize("plant", ["nothing", *RINGS[:1]])
def test_a_faithful_stand_in_has_what_it_is_entitled_to(entitled: Entitled, plant: str) -> None:
    found = look_at_stand_in(entitled, plant)
    assert [finding for finding in found if finding.verdict == DIFFERENCE] == []
    assert aspects_of(found, UNREAD) == (set() if IS_ROOT else set(UNREAD_TO_OTHERS.values()))


@pytest.mark.parametrize("plant", PLANTED)
def test_what_is_planted_is_found_and_nothing_else(entitled: Entitled, plant: str) -> None:
    aspects, said = PLANTED[plant]
    found = look_at_stand_in(entitled, plant)
    unread = aspects_of(found, UNREAD)
    hidden = set() if IS_ROOT else {aspect for aspect in aspects if UNREAD_TO_OTHERS.get(aspect) in unread}
    differing = [finding for finding in found if finding.verdict == DIFFERENCE]
    assert {finding.aspect for finding in differing} == aspects - hidden, differing
    if IS_ROOT:
        assert unread == set()
        assert any(said in finding.found for finding in differing), differing
