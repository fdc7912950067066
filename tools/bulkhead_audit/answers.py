"""What the VM answers, held to the shape that QMP promises: the audit doesn't stumble over anything else."""

from __future__ import annotations

from typing import Any

from vmm_main.qmp.commands.entitlements import TABLE
from vmm_main.qmp.qmp_error import QmpError as WrongValueError
from vmm_main.qmp.value_check import check_value

from .qmp_client import QmpClient, QmpError, in_short

_RETURNED = {command.name: command.returns for command in TABLE.commands}
# What isn't optional for a process of that role; a device's limits are those of its process.
_NEEDED = {"main": ("pid",), "spawner": ("pid",), "zygote": ("pid",), "device": ("kind", "state")}


def entitlements_of(client: QmpClient) -> list[dict[str, Any]]:
    """Each process of the VM, main first.

    Raises:
        QmpError: It can't be asked, or answers something else.
    """
    command = "query-process-entitlements"
    told: list[dict[str, Any]] = _asked(client, command)
    if [index for index, one in enumerate(told) if one["role"] == "main"] != [0]:
        raise _strange(command, "allowed is one main process, which comes first")
    for index, one in enumerate(told):
        needed = (*_NEEDED[one["role"]], *(("limits",) if one["role"] == "device" and "pid" in one else ()))
        missing = next((name for name in needed if name not in one), None)
        if missing is not None:
            raise _strange(command, f"'[{index}].{missing}' is missing")
        for number, descriptor in enumerate(one["descriptors"]):
            if "inode" not in descriptor and "eventfd-id" not in descriptor:
                raise _strange(command, f"'[{index}].descriptors[{number}]' is of no file")
    return told


def certificate_of(client: QmpClient, device_id: str) -> tuple[int, bytes]:
    """The process that has certified itself, and its certificate.

    Raises:
        RefusedError: There is none.
        QmpError: It can't be asked, or answers something else.
    """
    told = _asked(client, "query-birth-certificate", id=device_id)
    return told["pid"], told["text"].encode("utf-8", "backslashreplace")


def program_of(client: QmpClient, profile: str) -> bytes:
    """A profile's compiled program.

    Raises:
        QmpError: It can't be asked, or answers something else.
    """
    command = "query-system-call-filter"
    try:
        return bytes.fromhex(_asked(client, command, profile=profile)["program"])
    except ValueError as error:
        raise _strange(command, "'program' is no hexadecimal number") from error


def _asked(client: QmpClient, command: str, **arguments: Any) -> Any:
    answer = client.execute(command, **arguments)
    try:
        check_value(answer, _RETURNED[command], "")
    except WrongValueError as error:
        raise _strange(command, str(error)) from error
    return answer


def _strange(command: str, why: str) -> QmpError:
    return QmpError(
        f"{command}: this bulkhead-audit doesn't understand the answer ({in_short(why)}); a VM is "
        "audited with that of its own version"
    )
