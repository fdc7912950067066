"""Main, spawner and zygote are held to what they are entitled to as devices are."""

from __future__ import annotations

import os

import pytest

from tests.device.audit.stand_in_rig import Entitled, opened
from tools.bulkhead_audit.aspects import findings_of
from tools.bulkhead_audit.finding import DIFFERENCE, UNREAD


def _filters_of(kind: str) -> set[str]:
    installed = {f"installed filters of {kind}"} if os.geteuid() == 0 else set()
    return {f"system calls of {kind}"} | installed


# Of a process that has all that nobody should have.
_OF_ALL = {"no_new_privs", "threads", "shared memory", "code", "children"} | (
    {"capabilities"} if os.geteuid() == 0 else set()
)
# An ordinary user's zygote has a user namespace, and no bounding set.
_OF_USERS_ZYGOTE = set() if os.geteuid() == 0 else {"user namespace", "capabilities"}
UNREAD_TO_OTHERS = {
    *("descriptors", "shared memory", "code", "namespaces", "mounts", "Landlock"),
    "installed filters of zygote",
}
DIFFERING = {
    "main": {*_OF_ALL, *_filters_of("main"), "descriptor"},
    "spawner": {*_OF_ALL, "session", "descriptor"},
    "zygote": {*_OF_ALL, *_OF_USERS_ZYGOTE, *_filters_of("zygote"), "net namespace", "descriptor", "session"},
}


@pytest.mark.parametrize("role", ["spawner", "zygote"])
def test_they_have_what_they_are_entitled_to(entitled: Entitled, role: str) -> None:
    with opened(entitled.records()) as vm:
        process = next(process for process in vm.processes if process.role == role)
        found = findings_of(process, vm)
    assert [finding for finding in found if finding.verdict == DIFFERENCE] == []
    unread = {finding.aspect for finding in found if finding.verdict == UNREAD}
    # Privileged for a moment (the zygote in its user namespace), so the kernel shows them to nobody else.
    assert unread <= (set() if os.geteuid() == 0 else UNREAD_TO_OTHERS)


@pytest.mark.parametrize("role", DIFFERING)
def test_a_stranger_in_their_place_is_found(entitled: Entitled, stranger: int, role: str) -> None:
    records = entitled.records()
    record = next(record for record in records if record["role"] == role)
    record["pid"] = stranger
    for threads in record["threads"]:
        threads["ids"] = [stranger] * len(threads["ids"])
    with opened(records) as vm:
        process = next(process for process in vm.processes if process.role == role)
        found = findings_of(process, vm)
    differing = {finding.aspect for finding in found if finding.verdict == DIFFERENCE}
    # How many network interfaces this host has is its own affair.
    assert differing - {"network interfaces"} == DIFFERING[role]
