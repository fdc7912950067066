"""What is looked at in a process of each role, and what a birth certificate can stand in for."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from . import privilege_checks as privileges
from . import reach_checks as reach
from .finding import UNREAD, Finding
from .process import Process
from .process_files import UnreadableError
from .vm import Vm

Check = Callable[[Process, Vm], Iterator[Finding]]

_OF_ALL: tuple[Check, ...] = (
    privileges.parentage,
    privileges.user,
    privileges.capabilities,
    privileges.no_new_privs,
)
CHECKS: dict[str, tuple[Check, ...]] = {
    "main": (
        *_OF_ALL,
        privileges.system_calls,
        reach.inherited_descriptors,
        reach.files_of_main,
        reach.shared_memory,
        reach.code,
    ),
    "spawner": (
        *_OF_ALL,
        privileges.spawner_system_calls,
        reach.simple_descriptors,
        reach.shared_memory,
        reach.code,
    ),
    "zygote": (
        *_OF_ALL,
        privileges.system_calls,
        reach.zygote_namespaces,
        reach.network,
        reach.simple_descriptors,
        reach.shared_memory,
        reach.code,
    ),
    "device": (
        *_OF_ALL,
        privileges.system_calls,
        privileges.limits,
        privileges.dumpable,
        privileges.landlock,
        reach.namespaces,
        reach.network,
        reach.mounts,
        reach.certificate,
        reach.descriptors,
        reach.shared_memory,
        reach.code,
        reach.mapped_files,
    ),
}
_BY_CERTIFICATE: dict[Check, Check] = {
    reach.namespaces: reach.certified_namespaces,
    reach.mounts: reach.certified_mounts,
}


def findings_of(process: Process, vm: Vm) -> list[Finding]:
    """Everything about one process.

    Raises:
        GoneError: It has ended meanwhile, or something of it has.
    """
    found: list[Finding] = []
    for check in CHECKS[process.role]:
        try:
            found += check(process, vm)
        except UnreadableError as error:
            by_certificate = _BY_CERTIFICATE.get(check)
            if by_certificate is not None and process.certificate is not None:
                found += by_certificate(process, vm)
            else:
                found.append(Finding(_name(check), "", f"can't be read: {error}", UNREAD))
    return found


def _name(check: Check) -> str:
    return check.__name__.removeprefix("zygote_").removeprefix("simple_").replace("_", " ")
