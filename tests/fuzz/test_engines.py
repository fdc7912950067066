"""Each engine finds a planted bug within seconds, and what is fuzzed in earnest is reached in its depth."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from tests.fuzz.functions_called import functions_called
from tools.fuzzing import engine
from tools.fuzzing.engine import Workplace
from tools.fuzzing.targets import CHECKOUT, FUZZ, Target, all_targets, target_of

PYTHON = Path(sys.executable)
FINDS_WITHIN_S = 600
TARGETS = all_targets()
C_TARGETS = [target for target in TARGETS if target.is_c]
PYTHON_TARGETS = [target for target in TARGETS if not target.is_c]

# Of devices: what maps memory when a process is configured; and io_uring, in whose place is a disk in memory.
NOT_FUZZED = (
    "device_procs/data_plane/guest_memory.c:",
    "device_procs/data_plane/host_call.c:host_call_count_in",
    "device_procs/data_plane/inflight_log.c:inflight_log_map",
    "device_procs/data_plane/inflight_log.c:inflight_log_room",
    "device_procs/data_plane/inflight_log.c:bytes_per_queue",
    "device_procs/virtio_blk/disk_uring.c:",
)

# What lies deepest of each reader, which its corpus and its seeds must reach.
DEEP = {
    "command-line": {"check_combinations", "split_items", "_json_pairs", "nearest", "keys_of"},
    "control-from-device": {
        "_on_quiesced",
        "_on_reset",
        "was_started",
        "next_delay_s",
        "_thread_name",
        "_last_words",
    },
    "control-from-main": {"keep_base", "forget", "take_failure", "set_config", "metrics", "_map_logs"},
    "kernel-loaders": {"find_pvh_entry", "enter_pvh", "for_boot_params", "_is_text", "_initrd_too_large"},
    "qmp": {"check_value", "_opener_may_stand", "skip_line", "keep", "_flush", "encode_line"},
    "virtio-mmio": {
        "_write_queue_ready",
        "setup",
        "_write_config",
        "write_area",
        "_features_are_acceptable",
        "_set_needs_reset",
    },
}


def planted(name: str, tmp_path: Path) -> tuple[Target, Workplace]:
    target = target_of(FUZZ / "planted" / name)
    return target, Workplace(tmp_path, target)


@pytest.mark.timeout(2 * FINDS_WITHIN_S)
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("virtio_trap", "the device has written to"),
        ("undocumented_exception.py", "IndexError"),
    ],
)
def test_a_planted_bug_is_found_and_shown_again(name: str, words: str, tmp_path: Path) -> None:
    target, place = planted(name, tmp_path)
    said = tmp_path / "said"
    with said.open("wb") as output:
        ran = engine.start(target, PYTHON, place, FINDS_WITHIN_S, output)
        assert ran.wait() != 0
    assert words in said.read_text(encoding="utf-8", errors="replace")
    (found,) = place.found
    assert engine.reproduce(target, PYTHON, place, found) != 0


def test_every_reader_has_something_deep() -> None:
    assert set(DEEP) == {target.name for target in PYTHON_TARGETS}


def unreached(target: Target, corpus: Path) -> set[str]:
    """The functions of a device's own C, and of the data plane's, that none of these inputs comes to."""
    ran = subprocess.run(
        [*engine.command_for(target, PYTHON), "-runs=0", "-print_coverage=1", str(corpus)],
        capture_output=True,
        text=True,
        errors="replace",
        check=True,
    )
    assert "\nCOVERED_FUNC: " in ran.stderr
    found = re.findall(r"^UNCOVERED_FUNC: hits: 0 edges: \S+ (\w+) (\S+):\d+$", ran.stderr, re.MULTILINE)
    places = {f"{Path(file).relative_to(CHECKOUT)}:{function}" for function, file in found}
    return {
        place for place in places if place.startswith("device_procs/") and not place.startswith(NOT_FUZZED)
    }


@pytest.mark.parametrize("target", C_TARGETS, ids=lambda target: target.name)
def test_all_of_a_device_is_reached(target: Target) -> None:
    own = f"device_procs/{target.source.name}/"
    assert {place for place in unreached(target, target.corpus) if place.startswith(own)} == set()


def test_all_of_the_data_plane_is_reached() -> None:
    by_none = set.intersection(*(unreached(target, target.corpus) for target in C_TARGETS))
    assert {place for place in by_none if place.startswith("device_procs/data_plane/")} == set()


def test_what_is_not_reached_is_seen(tmp_path: Path) -> None:
    missed = unreached(C_TARGETS[0], tmp_path)
    assert "device_procs/virtio_blk/blk_request.c:parse_ranges" in missed
    assert "device_procs/data_plane/inflight_log.c:mend_last" in missed


@pytest.mark.parametrize("target", PYTHON_TARGETS, ids=lambda target: target.name)
def test_a_reader_is_reached_in_its_depth(target: Target) -> None:
    module = import_module(target.module)
    inputs = [*module.seeds(), *(path.read_bytes() for path in target.kept)]

    def run_all() -> None:
        for content in inputs:
            module.run(content)

    reached = functions_called(run_all)
    assert DEEP[target.name] <= reached, DEEP[target.name] - reached
