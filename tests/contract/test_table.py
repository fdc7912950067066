"""The table itself: its quotes are the contract's, its tests exist, and no sentence is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.collected_tests import collect, with_and_without_parameters
from tests.contract.effects import EFFECTS
from tests.contract.left_out import LEFT_OUT
from tests.contract.table import CONTRACT, ROWS, SECTIONS, sentences, uncovered

OPEN = ("NICs", "balloon", "consoles", "disk QoS", "hot-plug", "huge pages", "iothreads", "libvirt",
        "outside back ends", "vsock")  # fmt: skip


@pytest.fixture(scope="module")
def tests_that_run(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """All tests in the files that the table names, with and without their parameters."""
    files = sorted({proof.split("::")[0] for row in ROWS for proof in row.proofs})
    return with_and_without_parameters(collect(files, tmp_path_factory.mktemp("collected")))


def test_every_quote_is_the_contracts() -> None:
    lines = CONTRACT.splitlines()
    for row in ROWS:
        assert any(row.quote in line for line in lines), row.quote


def test_every_sentence_is_quoted_or_left_out() -> None:
    assert uncovered() == []


def test_a_forgotten_sentence_would_be_noticed() -> None:
    lines = CONTRACT.splitlines()
    for row in ROWS:
        (*_, line) = (line for line in lines if row.quote in line)
        others = tuple(other for other in ROWS if other.quote not in line)
        assert any(row.quote in sentence or sentence in row.quote for sentence in uncovered(others)), (
            row.quote
        )


def test_what_is_left_out_is_in_the_contract() -> None:
    known = {sentence for line in CONTRACT.splitlines() for sentence in sentences(line)}
    for group in LEFT_OUT:
        assert set(group.sentences) <= known
        assert group.sentences or group.ranges
        for row in ROWS:
            assert row.quote not in group.sentences


def test_every_row_is_proved_or_open_or_says_why_not() -> None:
    for row in ROWS:
        assert bool(row.proofs) + bool(row.waits_for) + bool(row.reason) == 1, row.quote
        assert row.effect, row.quote
    assert sorted({row.waits_for for row in ROWS} - {""}) == sorted(OPEN)
    assert all(section.rows for section in SECTIONS)


def test_no_row_is_there_twice() -> None:
    pairs = [(row.quote, row.effect) for row in ROWS]
    assert len(set(pairs)) == len(pairs)


def test_every_test_that_is_named_exists_and_runs(tests_that_run: set[str]) -> None:
    for row in ROWS:
        for proof in row.proofs:
            assert proof in tests_that_run, f"{row.quote}: no test {proof}"


def test_every_observed_effect_is_some_rows() -> None:
    named = " ".join(proof for row in ROWS for proof in row.proofs)
    for name in EFFECTS:
        assert f"[{name}]" in named, f"effects.py has {name}, which no row of the contract names"


def test_a_skipped_or_missing_test_would_be_noticed(tmp_path: Path) -> None:
    planted = tmp_path / "test_planted.py"
    planted.write_text(
        "import pytest\n"
        "def test_runs(): pass\n"
        "@pytest.mark.skip(reason='planted')\n"
        "def test_is_skipped(): pass\n"
        "@pytest.mark.parametrize('x', [1, pytest.param(2, marks=pytest.mark.xfail)])\n"
        "def test_has_parameters(x): pass\n"
    )
    names = {node_id.split("::")[1] for node_id in collect([str(planted)], tmp_path)}
    assert names == {"test_runs", "test_has_parameters[1]"}
