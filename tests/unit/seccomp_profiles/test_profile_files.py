"""Profiles are read strictly: what the compiler wouldn't obey is refused; each rule says why it is there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from device_procs.device_registry import KINDS
from seccomp_profiles.profile import FOLDER, Comparison, ProfileError, read_profile, read_profiles

READ = {"names": ["read"], "action": "SCMP_ACT_ALLOW", "comment": "reads"}
SHOWN_TO_PEERS = 30  # rules of an entropy device's two threads; others allow 30 to 68 for theirs


def profile_file(folder: Path, *syscalls: dict[str, Any], **changes: Any) -> Path:
    path = folder / "planted.json"
    path.write_text(json.dumps({"defaultAction": "SCMP_ACT_TRAP", "syscalls": list(syscalls), **changes}))
    return path


def test_every_profile_is_good_and_every_kind_has_two() -> None:
    names = {profile.name for profile in read_profiles()}
    folders = {folder for _, folder in KINDS.values()}
    assert {"main", "vcpu", "zygote"} <= names
    assert names - {"main", "vcpu", "zygote"} == {
        f"{folder}_{thread}" for folder in folders for thread in ("control", "worker")
    }


def test_the_rng_needs_few_rules() -> None:
    rules = {profile.name: len(profile.rules) for profile in read_profiles()}
    assert rules["virtio_rng_control"] + rules["virtio_rng_worker"] <= SHOWN_TO_PEERS


def test_device_threads_never_get_what_opens_or_makes() -> None:
    never = {"openat", "open", "socket", "execve", "execveat", "fork", "vfork", "clone", "clone3", "ptrace"}
    never |= {"sendmsg", "sendmmsg", "recvmsg", "mprotect", "io_uring_setup", "bpf", "prctl", "seccomp"}
    for profile in read_profiles():
        if profile.name.endswith(("_control", "_worker")):
            assert never & {rule.call for rule in profile.rules} == set()


@pytest.mark.parametrize(
    ("syscalls", "changes", "complaint"),
    [
        ([READ | {"comment": " "}], {}, "must say why"),
        ([{key: READ[key] for key in ("names", "action")}], {}, "needs action, comment, names"),
        ([READ | {"action": "SCMP_ACT_LOG"}], {}, "SCMP_ACT_ALLOW, SCMP_ACT_ERRNO"),
        ([READ | {"names": []}], {}, "needs names"),
        ([READ | {"errnoRet": 1}], {}, "errnoRet belongs to"),
        ([READ | {"action": "SCMP_ACT_ERRNO"}], {}, "errnoRet belongs to"),
        ([READ | {"includes": {}}], {}, "may have"),
        ([READ, READ], {}, "is there twice"),
        ([READ, READ | {"args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]}], {}, "others are idle"),
        ([READ | {"args": [{"index": 6, "value": 1, "op": "SCMP_CMP_EQ"}]}], {}, "no such comparison"),
        ([READ | {"args": [{"index": 0, "value": 1, "op": "SCMP_CMP_LIKE"}]}], {}, "no such comparison"),
        ([READ | {"args": [{"index": 0, "value": 1, "op": "SCMP_CMP_MASKED_EQ"}]}], {}, "valueTwo belongs"),
        ([READ | {"args": [{"index": 0, "value": 1, "op": "SCMP_CMP_GE"}] * 2}], {}, "one condition per arg"),
        ([READ], {"defaultAction": "SCMP_ACT_ALLOW"}, "defaultAction must be SCMP_ACT_TRAP"),
        ([READ], {"archMap": []}, "may have"),
    ],
)
def test_a_bad_profile_is_refused(
    tmp_path: Path, syscalls: list[dict[str, Any]], changes: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ProfileError, match=complaint):
        read_profile(profile_file(tmp_path, *syscalls, **changes))


def test_what_is_not_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "planted.json").write_text("{")
    with pytest.raises(ProfileError, match=r"planted\.json"):
        read_profile(tmp_path / "planted.json")


def test_a_condition_in_words_and_in_effect() -> None:
    masked = Comparison(2, "SCMP_CMP_MASKED_EQ", 4, 0)
    assert str(masked) == "arg2 & 0x4 == 0x0"
    assert masked.holds((0, 0, 3, 0, 0, 0))
    assert not masked.holds((0, 0, 7, 0, 0, 0))
    assert str(Comparison(1, "SCMP_CMP_EQ", 0xAE80, 0)) == "arg1 == 0xae80"


def test_a_disks_threads_have_few_calls() -> None:
    """Of 30 at most together: each (call, condition) is a rule, also if it is answered and not made."""
    profiles = [read_profile(FOLDER / f"virtio_blk_{thread}.json") for thread in ("control", "worker")]
    assert sum(len(profile.rules) for profile in profiles) <= 30
