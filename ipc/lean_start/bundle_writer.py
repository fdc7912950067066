"""Imports a start's modules one by one, and makes the bundles for the next start (start_bundle.py)."""

from __future__ import annotations

import posix as os
import sys
from marshal import dumps

from ipc.lean_start.direct_finder import DirectFinder, install
from ipc.lean_start.start_bundle import (
    FINDER,
    LENGTH_BYTES,
    START,
    bundle_path,
    has_devices,
    run_devices,
    size_and_time,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType

    from ipc.lean_start.start_bundle import Part

_PACKAGES = ("vmm_main", "ipc", "device_procs")
# Here because there is no bundle: they aren't part of one, but it is their work. The first is the runner.
_OF_BUNDLES = (
    "ipc.lean_start.start_bundle",
    "ipc.lean_start.bundle_writer",
    "ipc.lean_start.lean_code",
)
# Python's own finder has found these before ours was there, and what brings the future.
_FIRST = ("__future__", "ipc", "ipc.lean_start", FINDER)
# What nearly every start imports besides, once it has read its command line.
_USUAL = (
    "vmm_main.command_line.machine_options",
    "vmm_main.command_line.channel_options",
    "vmm_main.chardev.stdio",
)
# What makes a machine, with the format of the kernels that light VMs are given: not before the processes of
# devices have been asked for.
_MACHINE = (
    "vmm_main.machine.machine",
    "vmm_main.guest_boot.cpu_entry",
    "vmm_main.guest_boot.elf",
    "vmm_main.guest_boot.pvh",
)
# What a VM with devices imports besides.
_DEVICES = (
    "vmm_main.command_line.device_options",
    "vmm_main.command_line.device_plans",
    "vmm_main.device_supervisor.device_start",
)
# And what the guest sees of the devices: it needs the machine's.
_TRANSPORT = "vmm_main.virtio_mmio.slots"
# Half of what malloc gives a mapping of its own, whose every page is new.
_GROUP_BYTES = 64 << 10


def import_and_bundle(folders: list[str]) -> None:
    """Imports what a start needs, and makes the bundle of it for the next one if nobody forbids it.

    folders: The one that holds this package, and that of other packages.
    """
    finder = install(folders)
    if finder is None:
        return
    for name in (START, *_USUAL):
        __import__(name)
    start = [*_FIRST, *finder.completed]
    found = len(finder.completed)
    for name in _MACHINE:
        __import__(name)
    machine = finder.completed[found:]
    _write_bundle(folders, "start", [*start, *machine], [start, machine])
    if has_devices() and not run_devices(folders):
        import_and_bundle_devices(folders)


def import_and_bundle_devices(folders: list[str]) -> None:
    """Imports what a VM with devices needs besides, and makes the bundle of it."""
    finder = next((each for each in sys.meta_path if isinstance(each, DirectFinder)), None)
    if finder is None:
        return
    before, known = len(finder.completed), list(sys.modules)
    for name in _DEVICES:
        __import__(name)
    registry = sys.modules["device_procs.device_registry"]
    for kind in registry.KINDS:
        registry.module_of(kind)
    if not _may_write(folders):
        return  # what makes a machine has its turn later
    processes = [name for name in finder.completed[before:] if name not in _OF_BUNDLES]
    without_machine = set(sys.modules)
    sys.modules[START].import_machine()
    sys.modules[START].import_machine = lambda: None  # type: ignore[attr-defined]  # once: its file is closed
    machine = set(sys.modules) - without_machine
    before = len(finder.completed)
    __import__(_TRANSPORT)
    transport = finder.completed[before:]
    _write_bundle(folders, "devices", [*known, *processes, *machine, *transport], [processes, transport])


def import_and_bundle_zygote(folders: list[str]) -> None:
    """Imports what a zygote needs, and makes the bundle of it for the next one."""
    finder = install(folders)
    if finder is None:
        return
    zygote = "device_procs.zygote.zygote"
    __import__(zygote)
    sys.modules[zygote].import_back_ends()
    names = [*_FIRST, *finder.completed]
    _write_bundle(folders, "zygote", names, [names])


def _write_bundle(folders: list[str], which: str, known: list[str], parts: list[list[str]]) -> None:
    """Writes modules of these names, if all of ours that are there are known by now."""
    if any(_is_ours(name) and name not in (*known, *_OF_BUNDLES) for name in sys.modules):
        return  # Python has just made a .pyc; the next start will find it
    if not _may_write(folders):
        return
    makers = [f"{folders[0]}/{name.replace('.', '/')}.py" for name in _OF_BUNDLES]
    stamps = [(maker, size_and_time(maker)) for maker in makers]
    runner, stamp, code = *stamps[0], _lean_code(makers[0])
    described, groups = [], []
    for names in parts:
        part, written = _part([(name, str(sys.modules[name].__file__)) for name in names])
        described.append(part)
        groups += written
    described[0][0].extend(stamps[1:])
    head = dumps(((runner, stamp, code), folders, described))
    length = dumps(len(head))
    assert len(length) == LENGTH_BYTES
    _write(bundle_path(folders, which), b"".join((length, head, *groups)))


def _may_write(folders: list[str]) -> bool:
    return os.access(f"{folders[0]}/vmm_main/__pycache__", os.W_OK)


def _part(modules: list[tuple[str, str]]) -> tuple[Part, list[bytes]]:
    """Describes modules given as (name, source), and writes their groups."""
    # Before they are read: a source that changes meanwhile makes its entry stale, not wrong.
    sources = [(source, size_and_time(source)) for _, source in modules]
    groups, group = [], []
    for name, source in modules:
        group.append((name, source, _lean_code(source)))
        if len(dumps(group)) > _GROUP_BYTES:
            groups.append(dumps(group))
            group = []
    groups.append(dumps(group))
    return (sources, [len(each) for each in groups]), groups


def _lean_code(source: str) -> CodeType:
    from ipc.lean_start.lean_code import lean_code  # brings ast: not for starts that can't write a bundle

    return lean_code(source)


def _is_ours(name: str) -> bool:
    source = getattr(sys.modules[name], "__file__", None) or ""
    return name.partition(".")[0] in _PACKAGES and source.endswith(".py")


def _write(path: str, content: bytes) -> None:
    """Puts a whole file in the old one's place. Where that fails, the next start is slower; this goes on."""
    unfinished = f"{path}.{os.getpid()}"
    try:
        fd = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    except OSError:
        return
    try:
        if os.write(fd, content) == len(content):
            os.replace(unfinished, path)
            return
    except OSError:
        pass
    finally:
        os.close(fd)
    os.unlink(unfinished)
