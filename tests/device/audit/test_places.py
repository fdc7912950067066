"""Main, spawner and zygote are where main was started, hold no rules of Landlock, and have few page tables.

Each kind of difference is planted in a process that is otherwise where they are.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from device_procs.data_plane._data_plane import lib
from tests.device.audit import raw_calls
from tests.device.audit.stand_in_rig import CHECKOUT, Entitled, opened
from tools.bulkhead_audit.aspects import findings_of
from tools.bulkhead_audit.audit import host_landlock
from tools.bulkhead_audit.finding import DIFFERENCE, UNREAD, Finding

_IS_ROOT = os.geteuid() == 0
_REFUSED, _MOUNTED = 10, 11  # exit statuses
# What is planted -> the aspects that differ, and what is found.
PLANTED: dict[str, tuple[set[str], str]] = {
    **{
        f"{kind} namespace": ({f"{kind} namespace"}, f"{kind}:[")
        for kind in ("cgroup", "ipc", "net", "pid", "user", "uts")
    },
    "mnt namespace": ({"mnt namespace", "mounts"}, "mnt:["),
    "mounts": ({"mnt namespace", "mounts"}, "mnt:["),
    "root directory": ({"mnt namespace", "mounts", "root directory"}, "/folder"),
    "working directory": ({"working directory"}, "/folder"),
    "page tables": ({"page tables"}, " KiB"),
    **({"Landlock": ({"Landlock"}, "landlock-ruleset")} if host_landlock() else {}),
}
ROLES = ("main", "spawner", "zygote")
ASPECTS = set().union(*(aspects for aspects, _ in PLANTED.values()))
# A zygote has a net namespace of its own, and that of an ordinary user a user namespace.
OF_THE_ZYGOTE = {"net namespace"} | (set() if _IS_ROOT else {"user namespace"})
CASES = [
    (role, plant) for role in ROLES for plant in PLANTED if role != "zygote" or plant not in OF_THE_ZYGOTE
]


@contextmanager
def placed_stranger(plant: str, folder: Path) -> Iterator[int]:
    command = [sys.executable, "-m", "tests.device.audit.placed_stranger", plant, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=CHECKOUT) as maker:
        assert maker.stdout is not None
        yield int(maker.stdout.readline())
        maker.communicate()


def look(entitled: Entitled, role: str, pid: int | None) -> list[Finding]:
    """What is found about a process in the place of the VM's, of those aspects that this is about."""
    records = entitled.records()
    record = next(record for record in records if record["role"] == role)
    if pid is not None:
        record["pid"] = pid
    with opened(records) as vm:
        for device in vm.processes:
            if device.role == "device":
                device.certificate = entitled.certificate(device.name)
        process = next(process for process in vm.processes if process.role == role)
        ignored = OF_THE_ZYGOTE if role == "zygote" and pid is not None else set()
        return [one for one in findings_of(process, vm) if one.aspect in ASPECTS - ignored]


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("is_planted", [False, True])
def test_they_are_where_main_was_started(
    entitled: Entitled, role: str, is_planted: bool, tmp_path: Path
) -> None:
    if is_planted:
        with placed_stranger("nothing", tmp_path) as pid:
            found = look(entitled, role, pid)
    else:
        found = look(entitled, role, None)
    assert [finding for finding in found if finding.verdict == DIFFERENCE] == []
    if _IS_ROOT or role == "main":
        there = {finding.aspect for finding in found}
        assert there >= ASPECTS - (OF_THE_ZYGOTE if is_planted and role == "zygote" else set())


@pytest.mark.parametrize(("role", "plant"), CASES)
def test_what_is_planted_is_found_and_nothing_else(
    entitled: Entitled, role: str, plant: str, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    expected, said = PLANTED[plant]
    with placed_stranger(plant, folder) as pid:
        differing = [one for one in look(entitled, role, pid) if one.verdict == DIFFERENCE]
    found = {finding.aspect for finding in differing}
    is_in_another = plant.endswith(" namespace") or plant in ("mounts", "root directory")
    if not _IS_ROOT and is_in_another and plant != "user namespace":
        found -= {"user namespace"}  # by which an ordinary user has the others
    assert found == expected, differing
    assert any(said in finding.found for finding in differing), differing
    if plant == "mounts" and role != "main":
        assert any(f"not main's: tmpfs on {folder} (rw" in finding.found for finding in differing), differing


@pytest.mark.parametrize("role", ROLES)
def test_a_main_that_could_not_see_where_it_was_is_not_called_right(entitled: Entitled, role: str) -> None:
    records = entitled.records()
    del records[0]["place"]
    with opened(records) as vm:
        process = next(process for process in vm.processes if process.role == role)
        unread = {finding.aspect for finding in findings_of(process, vm) if finding.verdict == UNREAD}
    assert unread >= {"namespaces", "mounts"}


def test_landlock_refuses_what_makes_a_devices_root(tmp_path: Path) -> None:
    """So who has made devices isn't under a Landlock of whoever started it: makers_landlock() says that."""
    pid = os.fork()
    if pid == 0:
        try:
            raw_calls.unshare(raw_calls.NAMESPACES["user"] | raw_calls.NAMESPACES["mnt"])
            raw_calls.mount("allowed", str(tmp_path), "tmpfs", 0, "size=4k")
            assert lib.no_new_privileges() == 0
            assert lib.landlock_forbid_all(host_landlock()) == 0
            try:
                raw_calls.mount("refused", str(tmp_path), "tmpfs", 0, "size=4k")
            except PermissionError:
                os._exit(_REFUSED)
            os._exit(_MOUNTED)
        finally:
            os._exit(1)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert status == (_REFUSED if host_landlock() else _MOUNTED)
