"""Each kind of difference, planted in a real process in the place of a real VM's device, is found and named.

The stand-in jails itself as a device does. Without anything planted the audit finds nothing in it; with
something, it finds that and nothing else.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.device.audit import raw_calls  # also: what the stand-in has mapped is mapped here too
from tests.device.audit.stand_in_rig import Entitled, opened, stand_in
from tests.device.supervised_vm import SupervisedVm
from tools.bulkhead_audit.aspects import findings_of
from tools.bulkhead_audit.finding import DIFFERENCE, UNREAD, Finding

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


@pytest.fixture(scope="module")
def entitled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Entitled]:
    vm = SupervisedVm(tmp_path_factory.mktemp("run") / "uids.lock", [{}, {}])
    yield Entitled(vm)
    vm.close()


def has_it_all_read(entitled: Entitled) -> bool:
    """Whether this is root's test; to others, the audit says of a device what it can't read, and no more."""
    if os.geteuid() == 0:
        return True
    records = entitled.records()
    with opened(records) as vm:
        device = vm.processes[-1]
        device.certificate = entitled.certificate(device.name)
        found = findings_of(device, vm)
    verdicts = {finding.aspect: finding.verdict for finding in found}
    assert verdicts["descriptors"] == verdicts["shared memory"] == UNREAD
    assert DIFFERENCE not in verdicts.values()
    return False


def look_at_stand_in(entitled: Entitled, plant: str) -> list[Finding]:
    """What differs about a stand-in, and that nothing of it was left unread."""
    with stand_in(entitled, plant) as (record, certificate):
        records = [record if one["name"] == record["name"] else one for one in entitled.records()]
        with opened(records) as vm:
            process = next(process for process in vm.processes if process.name == record["name"])
            process.certificate = certificate
            found = findings_of(process, vm)
    assert not [finding for finding in found if finding.verdict == UNREAD]
    return [finding for finding in found if finding.verdict == DIFFERENCE]


@pytest.mark.parametrize("plant", ["nothing", "ring"])
def test_a_faithful_stand_in_has_what_it_is_entitled_to(entitled: Entitled, plant: str) -> None:
    if has_it_all_read(entitled):
        assert look_at_stand_in(entitled, plant) == []


@pytest.mark.parametrize("plant", PLANTED)
def test_what_is_planted_is_found_and_nothing_else(entitled: Entitled, plant: str) -> None:
    if not has_it_all_read(entitled) or (plant.startswith("ring") and raw_calls.io_uring() is None):
        return
    aspects, said = PLANTED[plant]
    differing = look_at_stand_in(entitled, plant)
    assert {finding.aspect for finding in differing} == aspects, differing
    assert any(said in finding.found for finding in differing), differing
