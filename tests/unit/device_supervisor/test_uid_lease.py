"""Blocks of uids: never two VMs with the same, given back by any kind of end."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from vmm_main.device_supervisor import uid_lease
from vmm_main.device_supervisor.uid_lease import FIRST_UID, UIDS_PER_VM, UidLease
from vmm_main.errors import ConfigurationError, HostError

HOLDER = """
import sys
sys.path.insert(0, sys.argv[1])
from vmm_main.device_supervisor import uid_lease
uid_lease.may_give_uids = lambda base: True
print(uid_lease.UidLease(int(sys.argv[3]), 1, sys.argv[2]).uid_for(0), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def lock_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Leases as with privileges, whoever runs the tests: they only lock."""
    monkeypatch.setattr(uid_lease, "may_give_uids", lambda base: True)
    return str(tmp_path / "run" / "uids.lock")


@pytest.fixture
def leases(lock_file: str) -> Iterator[list[UidLease]]:
    held: list[UidLease] = []
    yield held
    for lease in held:
        lease.close()


def test_blocks_are_apart(lock_file: str, leases: list[UidLease]) -> None:
    for _ in range(20):
        leases.append(UidLease(None, 1, lock_file))
    uids = [lease.uid_for(device) for lease in leases for device in range(UIDS_PER_VM)]
    assert len(set(uids)) == 20 * UIDS_PER_VM
    assert min(uids) >= FIRST_UID
    assert all(lease.own_uids for lease in leases)


def test_uid_and_gid_are_the_same_number(lock_file: str, leases: list[UidLease]) -> None:
    leases.append(UidLease(200_000, 1, lock_file))
    assert (leases[0].uid_for(0), leases[0].gid_for(0)) == (200_000, 200_000)
    assert (leases[0].uid_for(3), leases[0].gid_for(3)) == (200_003, 200_003)
    with pytest.raises(HostError, match="none is left for number 64"):
        leases[0].uid_for(UIDS_PER_VM)


@pytest.mark.parametrize("base", [200_000, 200_001, 200_063, 199_937])
def test_an_overlapping_block_is_refused(lock_file: str, leases: list[UidLease], base: int) -> None:
    leases.append(UidLease(200_000, 1, lock_file))
    with pytest.raises(ConfigurationError, match=f"-uid-base {base}: another VM has some of the uids"):
        UidLease(base, 1, lock_file)


@pytest.mark.parametrize("base", [200_064, 199_936])
def test_a_block_beside_it_is_free(lock_file: str, leases: list[UidLease], base: int) -> None:
    leases.append(UidLease(200_000, 1, lock_file))
    leases.append(UidLease(base, 1, lock_file))


def test_a_leased_block_is_passed_over(
    lock_file: str, leases: list[UidLease], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uid_lease, "BLOCKS", 3)
    for _ in range(3):
        leases.append(UidLease(None, 1, lock_file))
    assert {lease.uid_for(0) for lease in leases} == {FIRST_UID + n * UIDS_PER_VM for n in range(3)}
    with pytest.raises(HostError, match="3 VMs have all the uids"):
        UidLease(None, 1, lock_file)
    leases.pop().close()
    leases.append(UidLease(None, 1, lock_file))


def test_a_killed_holder_gives_its_block_back(lock_file: str, leases: list[UidLease]) -> None:
    checkout = str(Path(__file__).resolve().parents[3])
    command = [sys.executable, "-c", HOLDER, checkout, lock_file, "300000"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "300000\n"
        with pytest.raises(ConfigurationError):
            UidLease(300_000, 1, lock_file)
        holder.kill()
    leases.append(UidLease(300_000, 1, lock_file))


def test_without_privilege_there_is_one_uid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uid_lease, "may_give_uids", lambda base: False)
    lease = UidLease(None, 1, str(tmp_path / "lock"))
    assert not lease.own_uids
    assert lease.uid_for(0) == lease.uid_for(5) == os.geteuid()
    assert lease.gid_for(0) == lease.gid_for(5) == os.getegid()
    with pytest.raises(ConfigurationError, match=r"-uid-base 5: .*SETUID, SETGID and SYS_ADMIN"):
        UidLease(5, 1, str(tmp_path / "lock"))
    assert not (tmp_path / "lock").exists()


def test_uids_that_are_not_there_are_refused(lock_file: str) -> None:
    with pytest.raises(ConfigurationError, match="don't exist here"):
        UidLease((1 << 32) - 10, 1, lock_file)


def test_a_place_that_cannot_be_written_is_named(lock_file: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HostError, match="can't be opened for the devices' uids"):
        UidLease(None, 1, str(tmp_path / "file" / "uids.lock"))
