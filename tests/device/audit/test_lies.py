"""A peer that answers otherwise than main does gets findings or a refusal in words, and nothing else."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from tests.device.audit.stand_in_rig import Entitled
from tests.device.supervised_vm import SupervisedVm
from tools.bulkhead_audit.audit import AuditError, audit
from tools.bulkhead_audit.finding import OK
from tools.bulkhead_audit.qmp_client import QmpClient, QmpError, RefusedError
from tools.bulkhead_audit.report import as_json, result_of, table
from vmm_main.device_supervisor.allowed_calls import program_of

_MISSING, _MORE = object(), object()
LIES: tuple[Any, ...] = (
    *(_MISSING, _MORE, None, True, -1, 0, 1.5, 1 << 63, 1 << 70),
    *("", "\0", "\n\x1b[31m", "\ud800", "main", "x" * 10_000),
    *([], [[]], {}, {"": 0}),
)
Place = tuple[str | int, ...]


class LyingClient(QmpClient):
    """Answers in place of a VM; what it answers may be changed."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self.answers = answers

    def execute(self, command: str, **_arguments: Any) -> Any:
        answer = self.answers[command]
        if isinstance(answer, QmpError):
            raise answer
        return copy.deepcopy(answer)

    def wait(self, longest_s: float) -> None:
        return


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory, stranger: int) -> Iterator[dict[str, Any]]:
    """What main would answer; of its processes, main is a stranger."""
    vm = SupervisedVm(tmp_path_factory.mktemp("run") / "uids.lock", [{}])
    records = Entitled(vm).records()
    records[0]["pid"] = stranger
    records[0]["threads"][0]["ids"] = [stranger]
    device = vm.device()
    assert device.process is not None
    assert device.process.certificate is not None
    text = device.process.certificate.decode("utf-8", "backslashreplace")
    yield {
        "query-process-entitlements": records,
        "query-birth-certificate": {"id": device.device_id, "pid": vm.pid(), "text": text},
        "query-system-call-filter": {"profile": "main", "program": (program_of("main") or b"").hex()},
    }
    vm.close()


def places(value: Any, place: Place = ()) -> Iterator[Place]:
    """Of everything in an answer; of a list of texts or numbers, the first."""
    yield place
    if isinstance(value, dict):
        for name, member in value.items():
            yield from places(member, (*place, name))
    elif isinstance(value, list):
        is_plain = not value or not isinstance(value[0], dict)
        for index, element in enumerate(value[:1] if is_plain else value):
            yield from places(element, (*place, index))


def with_lie(value: Any, place: Place, lie: Any) -> Any:
    """The value with something else in its place."""
    if not place:
        return None if lie is _MISSING else [value] if lie is _MORE else lie
    changed = copy.deepcopy(value)
    inner = changed
    for step in place[:-1]:
        inner = inner[step]
    last = place[-1]
    if lie is _MISSING:
        del inner[last]
    elif lie is not _MORE:
        inner[last] = lie
    elif isinstance(inner, dict):
        inner[f"{last}, too"] = inner[last]
    else:
        inner.append(inner[0])
    return changed


def outcome(answers: dict[str, Any], *, filters: bool = False) -> str:
    """The audit's result in a word, or the refusal."""
    try:
        audited = audit(LyingClient(answers), patience_s=0.0, compare_filters=filters)
    except (AuditError, QmpError) as error:
        return str(error)
    result = result_of(audited, unprivileged=False)
    assert as_json(audited, result)["result"] == result
    assert list(table(audited, everything=True))
    return result


def test_the_truth_is_understood(truth: dict[str, Any]) -> None:
    audited = audit(LyingClient(truth), patience_s=0.0)
    assert {one.verdict for one in audited[-1].findings} >= {OK}
    assert outcome(truth, filters=True) == "differs", "of the stranger that is main"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("lie", LIES, ids=lambda lie: ascii(lie)[:20])
def test_any_lie_in_any_place(truth: dict[str, Any], lie: Any) -> None:
    for command, answer in truth.items():
        for place in places(answer):
            filters = command == "query-system-call-filter"
            said = outcome({**truth, command: with_lie(answer, place, lie)}, filters=filters)
            assert len(said) < 2000, (command, place)


def test_a_certificate_that_is_refused_is_no_failure(truth: dict[str, Any]) -> None:
    refused = {**truth, "query-birth-certificate": RefusedError("none")}
    (device,) = [
        one for one in audit(LyingClient(refused), patience_s=0.0) if one.entitled["role"] == "device"
    ]
    assert "birth certificate" in {one.aspect for one in device.findings if one.verdict == "DIFFERENCE"}


def test_a_certificate_that_cannot_be_asked_for_is_no_difference(truth: dict[str, Any]) -> None:
    late = {**truth, "query-birth-certificate": QmpError("no answer to query-birth-certificate")}
    assert outcome(late) == "no answer to query-birth-certificate"
