"""What is looked at in a process of each role, and what a birth certificate can stand in for."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from . import main_checks as of_main
from . import place_checks as place
from . import privilege_checks as privileges
from . import reach_checks as reach
from .finding import UNREAD, Finding
from .page_tables import page_tables
from .process import Process
from .process_files import UnreadableError
from .vm import Vm

Check = Callable[[Process, Vm], Iterator[Finding]]

_OF_ALL: tuple[Check, ...] = (
    privileges.parentage,
    privileges.user,
    privileges.capabilities,
    privileges.no_new_privs,
    page_tables,
)
CHECKS: dict[str, tuple[Check, ...]] = {
    "main": (
        *_OF_ALL,
        privileges.system_calls,
        place.hosts_namespaces,
        place.hosts_mounts,
        place.makers_landlock,
        of_main.descriptors,
        reach.shared_memory,
        reach.code,
        of_main.mapped_files,
    ),
    "spawner": (
        *_OF_ALL,
        privileges.spawner_system_calls,
        place.hosts_namespaces,
        place.hosts_mounts,
        place.makers_landlock,
        reach.simple_descriptors,
        reach.shared_memory,
        reach.code,
    ),
    "zygote": (
        *_OF_ALL,
        privileges.system_calls,
        place.zygote_namespaces,
        place.network,
        place.hosts_mounts,
        place.makers_landlock,
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
        place.namespaces,
        place.network,
        place.mounts,
        place.root_directory,
        place.working_directory,
        reach.birth_certificate,
        reach.descriptors,
        reach.shared_memory,
        reach.code,
        reach.mapped_files,
    ),
}
_BY_CERTIFICATE: dict[Check, Check] = {
    place.namespaces: place.certified_namespaces,
    place.mounts: place.certified_mounts,
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
    """Of what it looks at: without whose."""
    name = check.__name__
    for whose in ("zygote_", "simple_", "hosts_", "makers_"):
        name = name.removeprefix(whose)
    return name.replace("_", " ").replace("landlock", "Landlock")
