"""The modules of a start in one file, which are run one after the other instead of being imported one by one.

An import machinery that is asked fifty times for what will surely be there costs a millisecond, and as many
files are opened and read (docs/decisions/0004). The file is made by a start that finds none that is up to
date, in the folder of the .pyc files and by the same rules: from their code, good for sources of one size and
time of change, only where the user may write, under a name that another Python doesn't look for.

File: marshal of (folders, [(module, source, (size, time), code)]). This module is the first: __main__ runs
it, and it runs the others, each behind all that it imports. Without a file that this module has made,
__main__ imports it.
"""

# No `from __future__`, here alone: that is a module too, which the bundle brings.

import posix as os
import sys
from marshal import dumps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, ModuleType

    Entry = tuple[str, str, tuple[int, int], CodeType]

_PACKAGE = "vmm_main"
_FINDER = f"{_PACKAGE}.direct_finder"
_EARLY_SETUP = f"{_PACKAGE}.kvm.early_setup"
_START = f"{_PACKAGE}.start"
_PACKAGE_FILE = "/__init__.py"
# What nearly every start imports besides, once it has read its command line.
_USUAL = (
    f"{_PACKAGE}.command_line.machine_options",
    f"{_PACKAGE}.command_line.channel_options",
    f"{_PACKAGE}.chardev.host_stream",
    f"{_PACKAGE}.guest_boot.cpu_entry",
)
_ST_SIZE, _ST_MTIME = 6, 8  # os.stat_result as a tuple has whole seconds, as a .pyc has


def run_bundle(folders: list[str], made_in: list[str], entries: "list[Entry]") -> None:
    """Makes the bundle's modules if it is of this folder and all of it is up to date; else imports them.

    The finder is installed, and KVM is being set up, as soon as there is what does it.
    """
    try:
        fresh = made_in == folders and all(_size_and_time(each[1]) == each[2] for each in entries)
    except FileNotFoundError:
        fresh = False
    if not fresh:
        import_and_bundle(folders)
        return
    for name, source, _, code in entries[1:]:
        module = _run(name, source, code)
        if name == _FINDER:
            module.install(*folders)
        elif name == _EARLY_SETUP:
            module.begin_unless_later(sys.argv[1:])


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
    import vmm_main.start  # noqa: F401

    for name in _USUAL:
        __import__(name)
    names = ["__future__", _PACKAGE, _FINDER, *finder.completed]  # Python's own has found the first three
    if any(_is_ours(name) and name not in names for name in sys.modules):
        return  # Python has just made a .pyc; the next start will find it
    package = f"{folders[0]}/{_PACKAGE}"
    if os.access(f"{package}/__pycache__", os.W_OK):
        entries = [_entry(__name__, f"{package}/start_bundle.py")]
        entries += [_entry(name, str(sys.modules[name].__file__)) for name in names]
        path = f"{package}/__pycache__/start.{sys.implementation.cache_tag}.bundle"
        _write(path, dumps((folders, entries)))


def _is_ours(name: str) -> bool:
    source = getattr(sys.modules[name], "__file__", None) or ""
    return name.startswith(f"{_PACKAGE}.") and source.endswith(".py") and name != __name__


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
