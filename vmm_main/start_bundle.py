"""The modules of a start in one file, which are run one after the other instead of being imported one by one.

An import machinery that is asked fifty times for what will surely be there costs a millisecond, and as many
files are opened and read (docs/decisions/0004). The file is made by a start that finds none that is up to
date, in the folder of the .pyc files and by the same rules: from their code, good for sources of one size and
time of change, only where the user may write, under a name that another Python doesn't look for.

File: marshal of (folders, start, machine), both a list of (module, source, (size, time), code), each behind
all that it imports. This module is the first: __main__ runs it, and it runs the others. Without a file that
this module has made, __main__ imports it. Modules of devices are in a second file, (folders, devices).
"""

# No `from __future__`, here alone: that is a module too, which the bundle brings.

import posix as os
import sys
from marshal import dumps, loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, ModuleType

    from vmm_main.direct_finder import DirectFinder

    Entry = tuple[str, str, tuple[int, int], CodeType]

_PACKAGE = "vmm_main"
_PACKAGES = (_PACKAGE, "ipc", "device_procs")
_FINDER = f"{_PACKAGE}.direct_finder"
_EARLY_SETUP = f"{_PACKAGE}.kvm.early_setup"
_START = f"{_PACKAGE}.start"
_PACKAGE_FILE = "/__init__.py"
# What nearly every start imports besides, once it has read its command line.
_USUAL = (
    f"{_PACKAGE}.command_line.machine_options",
    f"{_PACKAGE}.command_line.channel_options",
    f"{_PACKAGE}.chardev.host_stream",
)
# What makes a machine: not before the processes of devices have been asked for.
_MACHINE = (
    f"{_PACKAGE}.machine.machine",
    f"{_PACKAGE}.guest_boot.cpu_entry",
)
# What a VM with devices imports besides; they have a bundle of their own.
_DEVICES = (
    f"{_PACKAGE}.command_line.device_options",
    f"{_PACKAGE}.command_line.device_plans",
    f"{_PACKAGE}.device_supervisor.device_start",
)
_DEVICE_OPTIONS = ("-device", "--device")
_ST_SIZE, _ST_MTIME = 6, 8  # os.stat_result as a tuple has whole seconds, as a .pyc has


def run_bundle(folders: list[str], made_in: list[str], start: "list[Entry]", machine: "list[Entry]") -> None:
    """Makes the bundle's modules if it is of this folder and all of it is up to date; else imports them.

    The finder is installed, and KVM is being set up, as soon as there is what does it. With devices, their
    modules come before the machine's, which wait for start.py to ask for them.
    """
    if made_in != folders or not _is_fresh([*start, *machine]):
        import_and_bundle(folders)
        return
    finder = None
    for name, source, _, code in start[1:]:
        module = _run(name, source, code)
        if name == _FINDER:
            finder = module.install(*folders)
        elif name == _EARLY_SETUP:
            module.begin_unless_later(sys.argv[1:])
    if finder is None or not _has_devices():
        _run_all(machine)
        return
    sys.modules[_START].import_machine = lambda: _run_all(machine)  # type: ignore[attr-defined]
    _run_or_bundle_devices(folders, finder)


def _has_devices() -> bool:
    return any(option in sys.argv for option in _DEVICE_OPTIONS)


def _is_fresh(entries: "list[Entry]") -> bool:
    try:
        return all(_size_and_time(each[1]) == each[2] for each in entries)
    except FileNotFoundError:
        return False


def _run_all(entries: "list[Entry]") -> None:
    for name, source, _, code in entries:
        if name not in sys.modules:
            _run(name, source, code)


def _run_or_bundle_devices(folders: list[str], finder: "DirectFinder") -> None:
    """Makes the modules of devices from their bundle; without one, imports and bundles them."""
    try:
        fd = os.open(_path(folders, "devices"), os.O_RDONLY | os.O_CLOEXEC)
        try:
            made_in, entries = loads(os.read(fd, os.fstat(fd).st_size))
        finally:
            os.close(fd)
        fresh = made_in == folders and _is_fresh(entries)
    except (OSError, EOFError, TypeError, ValueError):
        fresh = False
    if fresh:
        _run_all(entries)
        return
    before, there = len(finder.completed), list(sys.modules)
    for name in _DEVICES:
        __import__(name)
    registry = sys.modules["device_procs.device_registry"]
    for kind in registry.KINDS:
        registry.module_of(kind)
    names = finder.completed[before:]
    _write_bundle(folders, "devices", [*there, *names], [names])


def _run(name: str, source: str, code: "CodeType") -> "ModuleType":
    """Makes one module, as an import would have."""
    module = sys.modules[name] = type(sys)(name)
    module.__file__ = source
    if source.endswith(_PACKAGE_FILE):
        module.__path__ = [source[: -len(_PACKAGE_FILE)]]
    exec(code, module.__dict__)
    parent, _, child = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], child, module)
    return module


def import_and_bundle(folders: list[str]) -> None:
    """Imports what a start needs, and makes the bundle of it for the next one if nobody forbids it.

    folders: The one that holds this package, and that of other packages.
    """
    from vmm_main.direct_finder import install

    finder = install(*folders)
    if finder is None:
        return
    for name in (_START, *_USUAL):
        __import__(name)
    start = ["__future__", _PACKAGE, _FINDER, *finder.completed]  # Python's own has found the first three
    for name in _MACHINE:
        __import__(name)
    machine = finder.completed[len(start) - 3 :]
    _write_bundle(folders, "start", [*start, *machine], [start, machine])
    if _has_devices():
        _run_or_bundle_devices(folders, finder)


def _write_bundle(folders: list[str], which: str, known: list[str], parts: list[list[str]]) -> None:
    """Writes modules of these names, if all of ours that are there are known by now."""
    if any(_is_ours(name) and name not in (_PACKAGE, _FINDER, *known) for name in sys.modules):
        return  # Python has just made a .pyc; the next start will find it
    if not os.access(f"{folders[0]}/{_PACKAGE}/__pycache__", os.W_OK):
        return
    entries = [[_entry(name, str(sys.modules[name].__file__)) for name in names] for names in parts]
    if which == "start":
        entries[0].insert(0, _entry(__name__, f"{folders[0]}/{_PACKAGE}/start_bundle.py"))
    _write(_path(folders, which), dumps((folders, *entries)))


def _path(folders: list[str], which: str) -> str:
    return f"{folders[0]}/{_PACKAGE}/__pycache__/{which}.{sys.implementation.cache_tag}.bundle"


def _is_ours(name: str) -> bool:
    source = getattr(sys.modules[name], "__file__", None) or ""
    return name.partition(".")[0] in _PACKAGES and source.endswith(".py") and name != __name__


def _entry(name: str, source: str) -> "Entry":
    from _frozen_importlib_external import SourceFileLoader

    was = _size_and_time(source)
    # Read after that: a source that changes meanwhile makes the entry stale, not wrong.
    code = SourceFileLoader(name, source).get_code(name)
    assert code is not None
    return name, source, was, code


def _size_and_time(source: str) -> tuple[int, int]:
    status = os.stat(source)
    return int(status[_ST_SIZE]), int(status[_ST_MTIME])


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
