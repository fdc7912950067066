"""Each kind of difference, planted alone in a process in the place of main, spawner or zygote, is found.

The stand-in is as these are. Without anything planted the audit finds nothing in it; with something, it finds
that and nothing else. What is about places, Landlock and page tables is in test_places.py.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.device.audit.maker_stand_in import CAPABILITIES, KEPT
from tests.device.audit.stand_in_rig import CHECKOUT, Entitled, opened
from tools.bulkhead_audit.aspects import findings_of
from tools.bulkhead_audit.finding import DIFFERENCE, OK, Finding

IS_ROOT = os.geteuid() == 0
ROLES = ("main", "spawner", "zygote")
DEADLINE_S = 30.0
SOCKETS = {
    "control": socket.SOCK_SEQPACKET,
    "stream socket": socket.SOCK_STREAM,
    "datagram socket": socket.SOCK_DGRAM,
    "socket to somebody else": socket.SOCK_SEQPACKET,
}
# How many network interfaces this host has.
HOSTS_AFFAIR = {"net namespace": {"network interfaces"}}
Planted = dict[str, tuple[set[str], str]]
# What is planted -> the aspects that differ, and what the audit says it has found.
IN_ALL: Planted = {
    "anonymous shared memory": ({"shared memory"}, "rw-s /dev/zero"),
    "shared file": ({"shared memory"}, "rw-s /memfd:bulkhead-planted"),
    "writable code": ({"code"}, "rwxp anonymous"),
    "code from nowhere": ({"code"}, "r-xp anonymous"),
    "child": ({"children"}, "("),
    "thread": ({"threads"}, "also "),
    "user": ({"user"}, "4"),
    "group": ({"group"}, "4"),
    "bounding set": ({"capabilities"}, "CapBnd"),
    "inheritable set": ({"capabilities"}, "CapInh number 13"),
}
OF_MAIN: Planted = {
    "file": ({"descriptor"}, "/etc/passwd (r)"),
    "file that was left open": ({"descriptor"}, "/etc/passwd (r)"),
    "socket that was left open": ({"descriptor"}, "socket:["),
}
OF_MAKERS: Planted = {
    "parent": ({"parent"}, ""),
    "session": ({"session"}, ""),
    "groups": ({"further groups"}, "6 42"),
    "file": ({"descriptor"}, "4 -> /etc/passwd (r)"),
    "pipe": ({"descriptor"}, "4 -> pipe:["),
    "/dev/null elsewhere": ({"descriptor"}, "4 -> /dev/null (rw)"),
    "second socket": ({"descriptor"}, "4 -> socket:["),
    "stream socket": ({"descriptor"}, "stream to socket:["),
    "datagram socket": ({"descriptor"}, "datagram to socket:["),
    "socket to somebody else": ({"descriptor"}, "packet to socket:["),
    "socket to nobody": ({"descriptor"}, "packet to nobody"),
    "socket of an internet": ({"descriptor"}, "3 -> socket:["),
    "file for a socket": ({"descriptor"}, "3 -> /etc/passwd (r)"),
    "device for a socket": ({"descriptor"}, "3 -> /dev/zero (r)"),
}


def _filters(role: str) -> Planted:
    """Of a role that has some."""
    calls, installed = f"system calls of {role}", f"installed filters of {role}"
    both = {calls, installed}
    return {
        "no filter": (both, "0 filters, mode 0"),
        "a filter too many": (both, "2 filters, mode 2"),
        "another filter": ({installed}, ": zygote" if role == "main" else ": main"),
        "no_new_privs": ({"no_new_privs", *both}, "not set in thread"),
    }


def _capabilities(role: str) -> Planted:
    """Each that another role may have, and one that nobody may."""
    names = [name for name in CAPABILITIES if name not in KEPT[role]]
    return {f"capability {name}": ({"capabilities"}, f"CapEff {name}") for name in names}


PLANTED: dict[str, Planted] = {
    "main": {**IN_ALL, **_filters("main"), **_capabilities("main"), **OF_MAIN},
    "spawner": {
        **IN_ALL,
        **_capabilities("spawner"),
        **OF_MAKERS,
        "no_new_privs": ({"no_new_privs"}, "not set in thread"),
    },
    "zygote": {
        **IN_ALL,
        **_filters("zygote"),
        **_capabilities("zygote"),
        **OF_MAKERS,
        "net namespace": ({"net namespace"}, "that of the host"),
    },
}


# An ordinary user has none of these to give, nor a look at filters, and without a user namespace no other.
ROOTS_ONLY = {
    *("user", "group", "groups", "bounding set", "inheritable set", "another filter", "net namespace"),
    *(f"capability {name}" for name in CAPABILITIES),
}
CASES = [(role, plant) for role in ROLES for plant in PLANTED[role] if IS_ROOT or plant not in ROOTS_ONLY]


@contextmanager
def stand_in(role: str, plant: str) -> Iterator[int]:
    """The pid of a process; the test, as main does, holds the other ends of its sockets."""
    with ExitStack() as stack:
        given: dict[str, int] = {}
        for name, kind in SOCKETS.items():
            ours, theirs = (stack.enter_context(one) for one in socket.socketpair(socket.AF_UNIX, kind))
            given[name] = theirs.fileno()
            if name == plant == "socket to somebody else":
                keeper = subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=(ours.fileno(),))
                stack.callback(keeper.communicate, timeout=DEADLINE_S)
                ours.close()
        maker = subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.device.audit.maker_stand_in"),
                json.dumps({"role": role, "plant": plant, "given": given}),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=tuple(given.values()),
            cwd=CHECKOUT,
        )
        stack.callback(maker.communicate, timeout=DEADLINE_S)
        assert maker.stdout is not None
        pid = int(maker.stdout.readline())
        yield pid
        os.kill(pid, signal.SIGKILL)
        if plant != "parent":
            os.waitpid(pid, 0)


def look(entitled: Entitled, role: str, pid: int, *, has_spawner: bool = True) -> list[Finding]:
    """What is found about a process in the place of the VM's."""
    records = [one for one in entitled.records() if has_spawner or one["role"] != "spawner"]
    record = next(record for record in records if record["role"] == role)
    if role == "zygote" and has_spawner:
        # Which has made its session, as far as a process can be in the place of two.
        next(record for record in records if record["role"] == "spawner")["pid"] = pid
    record["pid"] = pid
    if role == "main":
        # What the stand-in has for its socket to the test is one that main tells of.
        inode = int(os.readlink(f"/proc/{pid}/fd/3").strip("socket:[]"))
        record["descriptors"] = [{"role": "its socket", "access": "rw", "inode": inode}]
    for threads in record["threads"]:
        threads["ids"] = [pid] * len(threads["ids"])
    with opened(records) as vm:
        process = next(process for process in vm.processes if process.role == role)
        return findings_of(process, vm)


def differing(found: list[Finding]) -> list[Finding]:
    return [finding for finding in found if finding.verdict == DIFFERENCE]


@pytest.mark.parametrize("role", ROLES)
def test_a_faithful_stand_in_has_what_it_is_entitled_to(entitled: Entitled, role: str) -> None:
    with stand_in(role, "nothing") as pid:
        found = look(entitled, role, pid)
    assert differing(found) == []
    assert not IS_ROOT or {finding.verdict for finding in found} == {OK}, found


@pytest.mark.parametrize(("role", "plant"), CASES)
def test_what_is_planted_is_found_and_nothing_else(entitled: Entitled, role: str, plant: str) -> None:
    aspects, said = PLANTED[role][plant]
    if not IS_ROOT:
        aspects = {aspect for aspect in aspects if not aspect.startswith("installed filters")}
    with stand_in(role, plant) as pid:
        found = differing(look(entitled, role, pid))
    assert {finding.aspect for finding in found} - HOSTS_AFFAIR.get(plant, set()) == aspects, found
    assert any(said in finding.found for finding in found), found


@pytest.mark.parametrize("plant", ["nothing", "session"])
def test_a_zygote_is_not_in_mains_session_also_without_a_spawner(entitled: Entitled, plant: str) -> None:
    with stand_in("zygote", plant) as pid:
        found = differing(look(entitled, "zygote", pid, has_spawner=False))
    assert {finding.aspect for finding in found} == {plant} - {"nothing"}, found
