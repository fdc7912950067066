"""docs/security.md is held to the tests that it names and to the profiles."""

from __future__ import annotations

from pathlib import Path

from device_procs.device_registry import KINDS
from seccomp_profiles.profile import read_profiles
from tests.style.security_claims import (
    CLAIMS,
    PAGE,
    claims,
    claims_without_tests,
    missing_tests,
    outside_the_zygotes,
    wrong_counts,
)
from tests.style.source_tree import CHECKOUT
from vmm_main.kvm._kvm import ffi, lib


def page() -> str:
    return (CHECKOUT / PAGE).read_text(encoding="utf-8")


def compiled_rules() -> dict[str, list[str]]:
    """The calls of every profile's rules, as they were compiled."""
    found = {}
    for profile in read_profiles():
        rules = ffi.new("struct filter_rule **")
        count = lib.filters_rules(profile.name.encode(), rules)
        found[profile.name] = [ffi.string(rules[0][i].call).decode() for i in range(count)]
    return found


def test_every_claim_names_a_test() -> None:
    assert len(claims(page())) > 20
    assert list(claims_without_tests(page())) == []


def test_every_test_that_is_named_exists() -> None:
    assert list(missing_tests(CHECKOUT, page())) == []


def test_the_rules_are_as_many_as_it_says() -> None:
    counts = {name: len(rules) for name, rules in compiled_rules().items()}
    assert list(wrong_counts(page(), counts)) == []


def test_what_a_device_may_call_the_zygote_may() -> None:
    rules = compiled_rules()
    for _, folder in KINDS.values():
        for thread in ("control", "worker"):
            assert outside_the_zygotes(rules[f"{folder}_{thread}"], rules["zygote"]) == []


def test_what_is_wrong_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_it.py").write_text("def test_one() -> None: ...\n", encoding="utf-8")
    planted = f"""# Page
- no claim
{CLAIMS}
- proved, see
  `tests/test_it.py::test_one`
- hoped for, in
  two lines
- proved by what there isn't: `tests/test_it.py::test_two`, `tests/test_gone.py::test_one`

## Counted
| disk | `blk_control` 3 | `blk_worker` 4 | 8 | 80 |

`main` 5
"""
    assert len(claims(planted)) == 3
    assert list(claims_without_tests(planted)) == ["names no test: - hoped for, in"]
    assert list(missing_tests(tmp_path, planted)) == [
        "there is no tests/test_gone.py",
        "tests/test_it.py has no test_two",
    ]
    counts = {"blk_control": 3, "blk_worker": 4, "main": 6, "vcpu": 1}
    assert list(wrong_counts(planted, counts)) == [
        "main: 5 on the page, 6 in the profile",
        "vcpu isn't counted",
        "3 + 4 isn't 8",
    ]
    assert outside_the_zygotes(["read", "socket"], ["read", "write"]) == ["socket"]
