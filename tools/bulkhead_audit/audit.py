"""One audit: asks, looks, compares, and looks again before it calls anything a difference.

Processes come and go while they are looked at. A device that is being made isn't jailed yet, a zygote that is
asked for a device holds its descriptors for a moment, a thread that is born hasn't put its filter on. So a
difference counts if a second look shows it again, and a process counts if main names the same one afterwards.
"""

from __future__ import annotations

import ctypes
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ipc.birth_certificate import CertificateError, certificate_fields

from .answers import certificate_of, entitlements_of, program_of
from .aspects import findings_of
from .finding import DIFFERENCE, OK, UNREAD, Finding
from .process import Process
from .process_files import GoneError, UnreadableError
from .qmp_client import QmpClient, RefusedError
from .vm import Vm

_BETWEEN_LOOKS_S = 0.2
_MAIN_NAME = "bulkhead"
_LANDLOCK_CREATE_RULESET = 444  # on every machine
_LANDLOCK_CREATE_RULESET_VERSION = 1


class AuditError(Exception):
    """The VM can't be audited; the text says why."""


@dataclass(frozen=True)
class Audited:
    """A process, or a device without one.

    Attributes:
        entitled: What query-process-entitlements says of it.
        findings: What was found.
        memory_kib: See Process.memory_kib; None where it can't be read.
        page_tables_kib: Its page tables, which everybody may read; 0 without a process.
    """

    entitled: dict[str, Any]
    findings: list[Finding]
    memory_kib: dict[str, int] | None
    page_tables_kib: int = 0


def audit(client: QmpClient, *, patience_s: float, compare_filters: bool = False) -> list[Audited]:
    """Looks until two looks agree, or at most patience_s long: then the last look counts.

    Args:
        client: Of the VM.
        patience_s: How long processes may take to settle.
        compare_filters: Whether the filters of threads are read, which stops each for a moment.

    Raises:
        AuditError: The VM's processes aren't to be seen from here.
        QmpError: The VM can't be asked.
    """
    until_s = time.monotonic() + patience_s
    before: set[tuple[int, str]] = set()
    while True:
        audited, is_steady = _look(client, compare_filters=compare_filters)
        differing = {
            (index, finding.aspect)
            for index, process in enumerate(audited)
            for finding in process.findings
            if finding.verdict == DIFFERENCE
        }
        if (is_steady and differing <= before) or time.monotonic() > until_s:
            return audited
        before = differing if is_steady else set()
        client.wait(_BETWEEN_LOOKS_S)


def _look(client: QmpClient, *, compare_filters: bool) -> tuple[list[Audited], bool]:
    """What is found now, and whether every process was settled and stayed the same all along."""
    asked = entitlements_of(client)
    processes: list[Process] = []
    try:
        for entitled in asked:
            if "pid" in entitled:
                try:
                    processes.append(Process(entitled))
                except GoneError as error:
                    if entitled["role"] == "main":
                        raise AuditError(
                            f"{error}: run the audit where the VM runs, in its pid namespace"
                        ) from error
        _check_main(processes[0])
        asked = _asked_anew(client, processes[0], asked)
        for process in processes:
            if process.role == "device":
                _take_certificate(client, process)
        vm = Vm(processes, host_landlock(), _programs(client, asked) if compare_filters else None)
        looked = {id(process.entitled): _examine(process, vm) for process in processes}
    finally:
        for process in processes:
            process.files.close()
    is_steady = _identities(entitlements_of(client)) == _identities(asked)
    is_steady = is_steady and all(entitled["settled"] or _is_given_up(entitled) for entitled in asked)
    is_steady = is_steady and None not in looked.values()
    audited = [
        looked.get(id(entitled)) or Audited(entitled, [_not_looked_at(entitled)], None) for entitled in asked
    ]
    return audited, is_steady


def _asked_anew(client: QmpClient, main: Process, asked: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Has main tell of itself once what it has open is known: it can tell of all of that."""
    with suppress(UnreadableError, GoneError):  # told where it is looked at
        main.descriptors  # noqa: B018
    told = entitlements_of(client)[0]
    if told["pid"] == main.pid:
        main.entitled = told
    return [main.entitled, *asked[1:]]


def _examine(process: Process, vm: Vm) -> Audited | None:
    """None if it has gone meanwhile."""
    try:
        findings = findings_of(process, vm)
        page_tables_kib = process.page_tables_kib
        try:
            memory: dict[str, int] | None = process.memory_kib
        except UnreadableError:
            memory = None  # it is no entitlement: the report leaves it out
    except GoneError:
        return None
    if not process.entitled["settled"]:
        findings = [_not_looked_at(process.entitled)]
    return Audited(process.entitled, findings, memory, page_tables_kib)


def _is_given_up(entitled: dict[str, Any]) -> bool:
    """Whether a device has no process and gets none before somebody asks for it."""
    return "pid" not in entitled and entitled.get("state") in ("stopped", "needs-reset")


def _not_looked_at(entitled: dict[str, Any]) -> Finding:
    state = entitled.get("state", "")
    if "pid" not in entitled:
        verdict = OK if _is_given_up(entitled) else UNREAD
        return Finding("process", "one", f"none: the device is {state}", verdict)
    return Finding("process", "one", f"was replaced or made while it was looked at ({state})", UNREAD)


def _identities(asked: list[dict[str, Any]]) -> list[tuple[str, int | None, bool]]:
    return [(entitled["name"], entitled.get("pid"), entitled["settled"]) for entitled in asked]


def _check_main(process: Process) -> None:
    """Whether the numbers that main gives its processes mean the same here."""
    name = process.status["Name"]
    if name != _MAIN_NAME:
        raise AuditError(
            f"process {process.pid} is {name!a} and not the VM's main process: run the audit where the VM "
            "runs, in its pid namespace"
        )


def _take_certificate(client: QmpClient, process: Process) -> None:
    try:
        pid, text = certificate_of(client, process.name)
        if pid == process.pid:  # otherwise the second question shows that it was replaced
            process.certificate = certificate_fields(text)
    except (RefusedError, CertificateError) as error:
        process.certificate_fault = str(error)


def _programs(client: QmpClient, asked: list[dict[str, Any]]) -> dict[str, bytes]:
    """Every profile's program, by its name."""
    names = {
        profile for entitled in asked for threads in entitled["threads"] for profile in threads["profiles"]
    }
    return {name: program_of(client, name) for name in sorted(names)}


def host_landlock() -> int:
    """The version of Landlock that this host's kernel has; 0 for none."""
    number = ctypes.CDLL(None, use_errno=True).syscall(
        ctypes.c_long(_LANDLOCK_CREATE_RULESET),
        None,
        ctypes.c_size_t(0),
        ctypes.c_uint(_LANDLOCK_CREATE_RULESET_VERSION),
    )
    return max(int(number), 0)
