"""What `tools/soak` decides and what it notices, without a VM."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tools.soaking.actions import PERFORM
from tools.soaking.command import Soak
from tools.soaking.host_traces import Vitals, is_locked, left_in, vitals_of
from tools.soaking.ledger import BLANK_SECTOR, SECTOR_BYTES, losses, sector_bytes
from tools.soaking.plan import ACTIONS, DEADLY, DEATHS_PER_VM, ENDS, plans

KEY, SECTORS = 0x123, 8


def image(*stamps: int | None) -> bytes:
    return b"".join(BLANK_SECTOR if stamp is None else sector_bytes(stamp, KEY) for stamp in stamps)


def test_a_seed_decides_everything() -> None:
    first, again, other = (list(itertools.islice(plans(seed), 50)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_everything_is_drawn_and_no_vm_dies_too_often() -> None:
    drawn = list(itertools.islice(plans(3), 200))
    actions = Counter(action.name for plan in drawn for action in plan.actions)
    assert set(actions) == set(ACTIONS) == set(PERFORM)
    assert {plan.end for plan in drawn} == set(ENDS)
    for plan in drawn:
        assert plan.disks
        assert all(disk.sectors % (4 * plan.span) == 0 for disk in plan.disks)
        assert all(action.device < len(plan.device_names) for action in plan.actions)
        assert sum(action.name in DEADLY for action in plan.actions) <= DEATHS_PER_VM


def test_a_short_soak_has_everything_whatever_its_seed() -> None:
    for seed in range(200):
        drawn = list(itertools.islice(plans(seed), 8))
        assert {action.name for plan in drawn for action in plan.actions} == set(ACTIONS)
        assert {plan.end for plan in drawn} == set(ENDS)


def test_the_summary_of_a_soak_that_did_nothing(tmp_path: Path) -> None:
    summary = Soak("bulkhead", tmp_path, verbose=False).summary()
    assert summary.splitlines()[-1] == "slowest answer of QMP: nothing was asked"


@pytest.mark.parametrize("flushed", [0, 3, 8, 11])
def test_what_was_flushed_is_there(flushed: int) -> None:
    stamps = [stamp if stamp < 11 else None for stamp in (8, 9, 10, 3, 4, 5, 6, 7)]
    assert list(losses(image(*stamps), KEY, flushed)) == []


def test_what_is_lost_stale_or_garbled_is_named() -> None:
    good = (8, 9, 10, 3, 4, 5, 6, 7)
    blank = image(*good[:4], None, *good[5:])
    assert list(losses(blank, KEY, 11)) == ["sector 4: stamp 4 was flushed, and it is blank"]
    stale = image(0, *good[1:])
    assert list(losses(stale, KEY, 11)) == ["sector 0: stamp 8 was flushed, and it holds the older 0"]
    elsewhere = image(good[1], good[1], *good[2:])
    assert len(list(losses(elsewhere, KEY, 11))) == 1
    garbled = bytearray(image(*good))
    garbled[3 * SECTOR_BYTES + 100] ^= 1
    assert next(losses(bytes(garbled), KEY, 11)).startswith("sector 3: no sector that the guest has written")


def test_what_grows_is_named() -> None:
    before = Vitals(10, 2, 1000)
    assert before.grown(before, 0) == []
    assert Vitals(9, 1, 1500).grown(before, 500) == []
    assert [line.split(",")[0] for line in Vitals(11, 3, 1501).grown(before, 500)] == [
        "main has 11 descriptors",
        "main has 3 threads",
        "main has 1501 KiB of memory of its own",
    ]


def test_a_process_that_leaks_grows() -> None:
    leaks = (
        "import os, threading, time; print(flush=True); input()\n"
        "kept = os.pipe(), bytearray(b'x') * (8 << 20)\n"
        "threading.Thread(target=input, daemon=True).start(); print(flush=True); threading.Event().wait()"
    )
    with subprocess.Popen([sys.executable, "-c", leaks], stdin=-1, stdout=-1, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        before = vitals_of(process.pid)
        process.stdin.write("\n")
        process.stdin.flush()
        process.stdout.readline()
        assert len(vitals_of(process.pid).grown(before, 6 << 10)) == 3
        process.kill()


def test_a_file_and_a_lock_that_stay(tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.touch()
    assert left_in(tmp_path, ["image"]) == []
    assert left_in(tmp_path, []) == [f"{path} is left"]
    assert not is_locked(path)
    fd = os.open(path, os.O_RDWR)
    try:
        os.lockf(fd, os.F_LOCK, 0)
        program = "import sys; from pathlib import Path; from tools.soaking.host_traces import is_locked\n"
        asked = [sys.executable, "-c", f"{program}sys.exit(is_locked(Path(sys.argv[1])))", str(path)]
        assert subprocess.run(asked, check=False).returncode == 1
    finally:
        os.close(fd)
