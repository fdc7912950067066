"""A skip with an unreviewed reason fails, and so does any xfail: what isn't tested must not look green."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

from tests.reviewed_skips import REVIEWED_SKIPS

NEVER_SKIPS = Path(__file__).parent / "linux"


def skip_is_reviewed(reason: str, path: Path) -> bool:
    """Whether a test in this file may be skipped for this reason."""
    return reason.removeprefix("Skipped: ") in REVIEWED_SKIPS and not path.is_relative_to(NEVER_SKIPS)


def _complaint(report: pytest.TestReport | pytest.CollectReport, path: Path) -> str | None:
    """What is wrong with how a report says "skipped"; None if nothing is."""
    if hasattr(report, "wasxfail"):
        return f"no test is expected to fail here, but this one is: {report.wasxfail}"
    if report.outcome != "skipped":
        return None
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    if skip_is_reviewed(reason, path):
        return None
    return f"{reason!r} is not in tests/reviewed_skips.py, or the linux layer was to skip it"


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    complaint = _complaint(report, item.path)
    if complaint is not None:
        report.outcome = "failed"
        report.longrepr = complaint
        if hasattr(report, "wasxfail"):
            del report.wasxfail
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    complaint = _complaint(report, collector.path)
    if complaint is not None:
        report.outcome = "failed"
        report.longrepr = complaint
    return report
