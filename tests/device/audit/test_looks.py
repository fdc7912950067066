"""When the audit calls something a difference: what is seen in two looks at processes that stay the same."""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import Any

import pytest

from tools.bulkhead_audit.audit import AuditError, audit
from tools.bulkhead_audit.finding import DIFFERENCE, UNREAD
from tools.bulkhead_audit.qmp_client import QmpClient, RefusedError

SHORT_S, LONG_S = 0.1, 60.0
NOTHING: dict[str, Any] = {
    name: [] for name in ("threads", "descriptors", "own-descriptors", "shared-memory")
}


class ToldClient(QmpClient):
    """Answers in place of a VM, whose only process is a stranger.

    Attributes:
        looks: How many looks there were.
    """

    def __init__(
        self, pid: int, *, changes: int = 0, settles_at: int = 0, jailed_at: int | None = None
    ) -> None:
        """Says what main would say.

        Args:
            pid: Of the process.
            changes: In how many looks its number is another one at the end.
            settles_at: From which look on it is settled.
            jailed_at: From which look on it may be what it is; None for never.
        """
        self._pid = pid
        self._changes = changes
        self._settles_at = settles_at
        self._jailed_at = jailed_at
        self._answers = 0
        self.looks = 0

    def execute(self, command: str, **arguments: Any) -> Any:
        if command != "query-process-entitlements":
            raise RefusedError("there are no devices")
        is_end = self._answers % 3 == 2  # it is asked, asked again for what it has open, and at the end
        self._answers += 1
        look = self.looks
        self.looks += is_end
        uid = os.getuid() if self._jailed_at is not None and look >= self._jailed_at else os.getuid() + 1
        main = {
            **{"name": "main", "role": "main", "pid": self._pid, "uid": uid, "gid": os.getgid()},
            "settled": look >= self._settles_at,
            **NOTHING,
        }
        if is_end and look < self._changes:
            main["pid"] = 1
        return [copy.deepcopy(main)]

    def wait(self, longest_s: float) -> None:
        return


class DeviceWithoutProcess(ToldClient):
    """The same with a device that has no process: dead at first, and then given up."""

    DEAD_LOOKS = 3

    def __init__(self, pid: int, state: str, **options: Any) -> None:
        super().__init__(pid, **options)
        self._state = state

    def execute(self, command: str, **arguments: Any) -> Any:
        look = self.looks
        told = super().execute(command, **arguments)
        state = self._state if look < self.DEAD_LOOKS else "stopped"
        device = {"name": "rng0", "role": "device", "kind": "virtio-rng", "uid": 1, "gid": 1}
        return [*told, {**device, "settled": False, "state": state, **NOTHING}]


def verdict_on_user(client: ToldClient, patience_s: float) -> str | None:
    (main,) = audit(client, patience_s=patience_s)
    return next((finding.verdict for finding in main.findings if finding.aspect == "user"), None)


def test_a_difference_is_looked_at_twice(stranger: int) -> None:
    client = ToldClient(stranger)
    assert verdict_on_user(client, LONG_S) == DIFFERENCE
    assert client.looks == 2


def test_one_that_is_gone_at_the_second_look_is_none(stranger: int) -> None:
    client = ToldClient(stranger, jailed_at=1)
    assert verdict_on_user(client, LONG_S) == "ok"
    assert client.looks == 2


def test_a_process_that_was_replaced_meanwhile_is_looked_at_anew(stranger: int) -> None:
    client = ToldClient(stranger, changes=3)
    assert verdict_on_user(client, LONG_S) == DIFFERENCE
    assert client.looks == 5


def test_one_that_is_being_made_is_waited_for(stranger: int) -> None:
    client = ToldClient(stranger, settles_at=2, jailed_at=2)
    assert verdict_on_user(client, LONG_S) == "ok"
    assert client.looks == 4


def test_a_dead_device_is_waited_for_and_one_that_is_given_up_is_not(stranger: int) -> None:
    dead = DeviceWithoutProcess(stranger, "dead", jailed_at=0)
    _, device = audit(dead, patience_s=LONG_S)
    assert [finding.verdict for finding in device.findings] == ["ok"]
    assert dead.looks > DeviceWithoutProcess.DEAD_LOOKS
    stopped = DeviceWithoutProcess(stranger, "stopped", jailed_at=0)
    _, device = audit(stopped, patience_s=LONG_S)
    assert [finding.found for finding in device.findings] == ["none: the device is stopped"]
    assert stopped.looks == 2, "the second for what differs of the stranger that is main"


def test_one_that_never_settles_is_not_called_right(stranger: int) -> None:
    (main,) = audit(ToldClient(stranger, settles_at=1 << 60), patience_s=SHORT_S)
    assert [finding.verdict for finding in main.findings] == [UNREAD]


def test_a_vm_whose_processes_are_not_to_be_seen_is_an_error() -> None:
    with pytest.raises(AuditError, match=r"is '.*' and not the VM's main process"):
        audit(ToldClient(os.getpid()), patience_s=SHORT_S)
    nobody = int(Path("/proc/sys/kernel/pid_max").read_text(encoding="ascii")) + 1
    with pytest.raises(AuditError, match="run the audit where the VM runs"):
        audit(ToldClient(nobody), patience_s=SHORT_S)
