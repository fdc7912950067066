"""The modules of a start in one file, which are run one after the other instead of being imported one by one.

An import machinery that is asked fifty times for what will surely be there costs a millisecond, and as many
files are opened and read (docs/decisions/0004). The file is made by a start that finds none that is up to
date (bundle_writer.py), in the folder of the .pyc files and by their rules: good for sources of one size and
time of change, only where the user may write, under a name that another Python doesn't look for.

File: three pieces of marshal. The number of bytes of the second; (runner, folders, parts), where the
runner is the (source, (size, time), code) of this module; then, for each part, groups of (module, source,
code), each behind all that it imports. A part is (sources, bytes), both lists: (source, (size, time)) of
each module, and the length of each group. A group is small enough for malloc to serve it from memory that
is there already. The code is without what only its readers need (lean_code.py).

A __main__ runs the runner, and it runs the others; without a file that has one it imports bundle_writer. The
parts of main's are what every start needs first, and what makes a machine. Main's modules of devices, and
the zygote's modules, are in files of their own; the former's parts are what makes and watches their
processes, and what the guest sees of them.
"""

# No `from __future__` and nothing that imports it: that is a module too, which the bundle brings.

import posix as os
import sys
from marshal import loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, ModuleType

    Entry = tuple[str, str, CodeType]
    Stamp = tuple[str, tuple[int, int]]
    Part = tuple[list[Stamp], list[int]]
    Head = tuple[tuple[str, tuple[int, int], CodeType], list[str], list[Part]]

FINDER = "ipc.lean_start.direct_finder"
START = "vmm_main.start"
# As marshal writes it: a letter and four bytes.
LENGTH_BYTES = 5
_EARLY_SETUP = "vmm_main.kvm.early_setup"
_PACKAGE_FILE = "/__init__.py"
_DEVICE_OPTIONS = ("-device", "--device")
_ST_SIZE, _ST_MTIME = 6, 8  # os.stat_result as a tuple has whole seconds, as a .pyc has


def run_bundle(fd: int, folders: list[str], head: "Head") -> None:
    """Makes the bundle's modules if it is of this folder and all of it is up to date; else imports them.

    KVM is being set up as soon as there is what does it. With devices, their modules come before the
    machine's, which wait for start.py to ask for them.

    Args:
        fd: The file, behind its head; closed here.
        folders: The one that holds this package, and that of other packages.
        head: The file's second piece.
    """
    _, made_in, parts = head
    if not _is_current(fd, folders, made_in, parts):
        os.close(fd)
        from ipc.lean_start.bundle_writer import import_and_bundle

        import_and_bundle(folders)
        return
    start, machine = parts
    for name, source, code in _entries(fd, start):
        module = _run(name, source, code, folders)
        if name == _EARLY_SETUP:
            module.begin_unless_later(sys.argv[1:])
    if not has_devices():
        _run_all(fd, machine, folders)
        return
    start_module = sys.modules[START]
    import_nothing = start_module.import_machine

    def import_machine() -> None:
        start_module.import_machine = import_nothing  # type: ignore[attr-defined]
        _run_all(fd, machine, folders)

    # Who makes the devices' bundle needs it before start.py does; the first time closes the file.
    start_module.import_machine = import_machine  # type: ignore[attr-defined]
    if not run_devices(folders):
        from ipc.lean_start.bundle_writer import import_and_bundle_devices

        import_and_bundle_devices(folders)


def run_zygote_bundle(fd: int, folders: list[str], head: "Head") -> None:
    """The same for the zygote's."""
    _, made_in, parts = head
    if _is_current(fd, folders, made_in, parts):
        _run_all(fd, parts[0], folders)
        return
    os.close(fd)
    from ipc.lean_start.bundle_writer import import_and_bundle_zygote

    import_and_bundle_zygote(folders)


def has_devices() -> bool:
    """Whether the command line, which nobody has read yet, asks for a device."""
    return any(option in sys.argv for option in _DEVICE_OPTIONS)


def run_devices(folders: list[str]) -> bool:
    """Makes the modules of devices from their bundle. False if there is none that is up to date.

    Those that the guest sees of them need the machine's, and come after these.
    """
    fd = -1
    try:
        fd = os.open(bundle_path(folders, "devices"), os.O_RDONLY | os.O_CLOEXEC)
        _, made_in, parts = loads(os.read(fd, loads(os.read(fd, LENGTH_BYTES))))
        current = _is_current(fd, folders, made_in, parts)
    except (OSError, EOFError, TypeError, ValueError):
        current = False
    if current:
        processes, transport = parts
        _run_part(fd, processes, folders)
        start_module = sys.modules[START]
        import_machine = start_module.import_machine

        def import_machine_and_transport() -> None:
            import_machine()
            _run_all(fd, transport, folders)

        start_module.import_machine = import_machine_and_transport  # type: ignore[attr-defined]
    elif fd >= 0:
        os.close(fd)
    return current


def bundle_path(folders: list[str], which: str) -> str:
    """Where the bundle `start`, `devices` or `zygote` is."""
    return f"{folders[0]}/vmm_main/__pycache__/{which}.{sys.implementation.cache_tag}.bundle"


def size_and_time(source: str) -> tuple[int, int]:
    """By which a source's change is seen.

    Raises:
        OSError: It isn't there.
    """
    status = os.stat(source)
    return int(status[_ST_SIZE]), int(status[_ST_MTIME])


def _is_current(fd: int, folders: list[str], made_in: list[str], parts: "list[Part]") -> bool:
    """Whether a bundle, read up to its groups, is of this folder, whole, and younger than its sources."""
    left = os.fstat(fd).st_size - os.lseek(fd, 0, 1)  # 1: SEEK_CUR
    if made_in != folders or left != sum(length for _, lengths in parts for length in lengths):
        return False
    try:
        return all(size_and_time(source) == stamp for sources, _ in parts for source, stamp in sources)
    except FileNotFoundError:
        return False


def _run_all(fd: int, part: "Part", folders: list[str]) -> None:
    """Makes the modules of a file's last part, and closes the file."""
    _run_part(fd, part, folders)
    os.close(fd)


def _run_part(fd: int, part: "Part", folders: list[str]) -> None:
    """Makes a part's modules that aren't there yet."""
    for name, source, code in _entries(fd, part):
        if name not in sys.modules:
            _run(name, source, code, folders)


def _entries(fd: int, part: "Part") -> "list[Entry]":
    return [entry for length in part[1] for entry in loads(os.read(fd, length))]


def _run(name: str, source: str, code: "CodeType", folders: list[str]) -> "ModuleType":
    """Makes one module, as an import would have. The finder is installed as soon as it is there."""
    module = sys.modules[name] = type(sys)(name)
    module.__file__ = source
    if source.endswith(_PACKAGE_FILE):
        module.__path__ = [source[: -len(_PACKAGE_FILE)]]
    exec(code, module.__dict__)
    parent, _, child = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], child, module)
    if name == FINDER:
        module.install(folders)
    return module
