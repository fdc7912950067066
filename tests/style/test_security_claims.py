"""docs/security.md is held to the tests that it names and to the profiles."""

from __future__ import annotations

from pathlib import Path

from device_procs.device_registry import KINDS
from seccomp_profiles.profile import read_profiles
from tests.collected_tests import collect, with_and_without_parameters
from tests.style.security_claims import (
    CLAIMS,
    PAGE,
    claims,
    claims_without_tests,
    missing_tests,
    named_files,
    outside_the_zygotes,
    wrong_counts,
)
from tests.style.source_tree import CHECKOUT
from tools.testing.command import LAYERS
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


def test_every_test_that_is_named_is_run(tmp_path: Path) -> None:
    there = [path for path in named_files(page()) if (CHECKOUT / path).is_file()]
    run = with_and_without_parameters(collect(there, tmp_path))
    assert list(missing_tests(CHECKOUT, page(), run, LAYERS)) == []


def test_the_rules_are_as_many_as_it_says() -> None:
    counts = {name: len(rules) for name, rules in compiled_rules().items()}
    assert list(wrong_counts(page(), counts)) == []


def test_what_a_device_may_call_the_zygote_may() -> None:
    rules = compiled_rules()
    for _, folder in KINDS.values():
        for thread in ("control", "worker"):
            assert outside_the_zygotes(rules[f"{folder}_{thread}"], rules["zygote"]) == []


def test_what_is_claimed_without_a_test_is_noticed() -> None:
    planted = f"""# Page
- no claim
{CLAIMS}

### It holds

- proved, see
  `tests/unit/test_it.py::test_one`
- hoped for, in
  two lines

Said by the way.

### It floats

## Counted
"""
    assert len(claims(planted)) == 2
    assert [complaint.partition(": ")[2] for complaint in claims_without_tests(planted)] == [
        "- hoped for, in",
        "Said by the way.",
        "It floats",
    ]


def test_a_test_that_is_not_run_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "tests" / "unit").mkdir(parents=True)
    (tmp_path / "tests" / "spare").mkdir()
    (tmp_path / "tests" / "spare" / "test_it.py").touch()
    file = tmp_path / "tests" / "unit" / "test_it.py"
    file.write_text(
        "import pytest\n"
        "def test_one(): pass\n"
        "@pytest.mark.parametrize('x', [1, 2])\n"
        "def test_many(x): pass\n"
        "@pytest.mark.skip(reason='planted')\n"
        "def test_skipped(): pass\n"
        "@pytest.mark.parametrize('x', [])\n"
        "def test_of_nothing(x): pass\n"
        "def helper(): pass\n",
        encoding="utf-8",
    )
    where = "tests/unit/test_it.py"
    names = ("one", "many", "skipped", "of_nothing", "two")
    named = [f"{where}::test_{name}" for name in names]
    named += [
        f"{where}::helper",
        "tests/gone/test_it.py::test_one",
        "tests/spare/test_it.py::test_one",
        where,
    ]
    planted = f"# Page\n{CLAIMS}\n- proved by {', '.join(f'`{each}`' for each in named)}\n## End\n"
    assert named_files(planted) == ["tests/gone/test_it.py", "tests/spare/test_it.py", where]
    # How pytest names a file outside of its root depends on where that is.
    run = {f"{where}::{node_id.partition('::')[2]}" for node_id in collect([str(file)], tmp_path)}
    assert list(missing_tests(tmp_path, planted, with_and_without_parameters(run), ["unit"])) == [
        "there is no tests/gone/test_it.py",
        "tests/spare/test_it.py is in no layer that is run",
        f"{where} isn't FILE::TEST",
        f"{where} has no helper that is run",
        f"{where} has no test_of_nothing that is run",
        f"{where} has no test_skipped that is run",
        f"{where} has no test_two that is run",
    ]


def test_a_count_that_is_wrong_is_noticed() -> None:
    planted = "| disk | `blk_control` 3 | `blk_worker` 4 | 8 | 80 |\n\n`main` 5\n"
    counts = {"blk_control": 3, "blk_worker": 4, "main": 6, "vcpu": 1}
    assert list(wrong_counts(planted, counts)) == [
        "main: 5 on the page, 6 in the profile",
        "vcpu isn't counted",
        "3 + 4 isn't 8",
    ]
    assert outside_the_zygotes(["read", "socket"], ["read", "write"]) == ["socket"]
