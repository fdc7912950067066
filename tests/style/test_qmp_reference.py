"""docs/qmp.md is what its generator writes."""

from __future__ import annotations

from tools.docs.qmp_reference import PAGE, render


def test_the_qmp_reference_is_fresh() -> None:
    assert PAGE.read_text(encoding="utf-8") == render(), "stale: run python3 -m tools.docs.qmp_reference"
