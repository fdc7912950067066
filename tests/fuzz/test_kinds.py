"""A kind is in the readers' targets by being registered: it lives there, and its lives leave nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from device_procs.device_registry import KINDS, module_of
from tests.fuzz import unjailed_device
from tests.fuzz.functions_called import functions_called
from tests.fuzz.sound_device import sound_device
from tests.fuzz.targets import control_from_device, control_from_main, virtio_mmio

_ORDER = sorted(KINDS)
# What a life comes to only if its CONFIGURE was right and its rings were set up.
LIVES = {
    control_from_main: {"keep_base", "forget", "metrics"},
    control_from_device: {"_on_quiesced", "_on_reset"},
    virtio_mmio: {"setup", "_write_queue_ready"},
}


def lives_of(target: ModuleType, kind: str) -> Callable[[], None]:
    """Runs the target's seeds of one kind: an input's first byte says which it is."""
    seeds = [seed for seed in target.seeds() if seed[0] == _ORDER.index(kind)]
    assert seeds

    def run() -> None:
        for seed in seeds:
            target.run(seed)

    return run


@pytest.mark.parametrize("kind", KINDS)
def test_a_sound_device_is_what_the_kinds_schema_says(kind: str) -> None:
    module_of(kind).config_schema.check(sound_device(kind).config, kind)


@pytest.mark.parametrize("target", LIVES, ids=lambda target: target.__name__.rpartition(".")[2])
@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_lives(target: ModuleType, kind: str) -> None:
    reached = functions_called(lives_of(target, kind))
    assert LIVES[target] <= reached, LIVES[target] - reached


def held() -> list[int]:
    """How many mappings, descriptors and threads this process has."""
    maps = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").count("\n")
    return [maps, len(list(Path("/proc/self/fd").iterdir())), threading.active_count()]


def left_by(kind: str, times: int = 5) -> list[int]:
    """What a device process's lives leave, once the first ones have made what is lent to all."""
    run = lives_of(control_from_main, kind)
    run()
    before = held()
    for _ in range(times):
        run()
    return [after - had for after, had in zip(held(), before, strict=True)]


# Mappings come and go with the allocator's heaps; each time is some thirty lives.
_MAPS_MORE = 10


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_process_has_for_life_is_lent(kind: str) -> None:
    maps, descriptors, threads = left_by(kind)
    assert (maps <= _MAPS_MORE, descriptors, threads) == (True, 0, 0), (
        f"lives of {kind} leave {maps} mappings, {descriptors} descriptors, {threads} threads: _LIBRARIES in "
        "tests/fuzz/unjailed_device.py must have a line for what its back end makes once for a process's life"
    )


def test_what_is_not_lent_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = next(iter(unjailed_device._LIBRARIES))
    monkeypatch.setattr(unjailed_device, "_LIBRARIES", {})
    assert left_by(kind, times=1)[0] > _MAPS_MORE
