"""Opens a disk's image: a raw file or a block device, locked against a second writer."""

from __future__ import annotations

import _stat as stat
import errno
import posix as os

from vmm_main.device_supervisor.opened_resource import OpenedResource
from vmm_main.errors import ConfigurationError
from vmm_main.kvm._kvm import ffi, lib
from vmm_main.log import Logger

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    from device_procs.device_module import Resource
    from vmm_main.fd_sets import FdSets

_SECTOR_BYTES = 512
_O_DIRECT = 0o40000
_ALLOWED = "allowed is a raw image or a block device, of at least 512 bytes"
# A ring of io_uring takes some 30 ms to go after its process, and holds the image until then: a lock whose
# holder can't be seen may be the end of a VM that has just ended.
_LET_GO_WITHIN_MS = 1000

# A container's first bytes. Never acted on, since a guest may write them to a raw disk.
_CONTAINERS = {b"QFI\xfb": "qcow2", b"KDMV": "VMDK", b"vhdx": "VHDX"}

_log = Logger("disk")


def open_disk_image(resource: Resource, fd_sets: FdSets) -> OpenedResource:
    """A description of its own, so that its flags and its lock are this disk's alone.

    Raises:
        ConfigurationError: It can't be opened, is something else, or is in use.
    """
    fd = _open(resource, fd_sets)
    try:
        # Only the open mustn't wait: io_uring would fail what it can't do at once on some file systems.
        os.set_blocking(fd, True)
        return _look(resource, fd)
    except BaseException:
        os.close(fd)
        raise


def _open(resource: Resource, fd_sets: FdSets) -> int:
    given = fd_sets.find(resource.path, resource.named, write=resource.writable)
    path = resource.path if given is None else f"/proc/self/fd/{given}"
    flags = os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK | (os.O_RDWR if resource.writable else os.O_RDONLY)
    try:
        # Looked at before it is opened: to open some things (a tape, a FIFO) does something.
        _check_kind(resource, os.stat(path).st_mode)
        return os.open(path, flags | (_O_DIRECT if resource.direct else 0))
    except OSError as error:
        if error.errno == errno.EINVAL and resource.direct:
            _refuse_direct(resource)
        hint = "" if not resource.writable else "; readonly=on asks for reading only"
        needs = "reading and writing" if resource.writable else "reading"
        raise ConfigurationError(
            f"{resource.named}: can't open for {needs}: {error.strerror}; {_ALLOWED}{hint}"
        ) from error


def _check_kind(resource: Resource, mode: int) -> None:
    if not (stat.S_ISREG(mode) or stat.S_ISBLK(mode)):
        raise ConfigurationError(f"{resource.named}: neither a file nor a block device; {_ALLOWED}")


def _look(resource: Resource, fd: int) -> OpenedResource:
    found = ffi.new("struct disk_file *")
    error = lib.disk_file_look(fd, found)
    if error < 0:
        raise ConfigurationError(f"{resource.named}: can't be read: {os.strerror(-error)}; {_ALLOWED}")
    _check_kind(resource, found.kind)
    if resource.writable and found.read_only:
        raise ConfigurationError(
            f"{resource.named}: the device is write-protected; allowed is readonly=on for such a one"
        )
    if resource.direct and found.offset_alignment == 0:
        _refuse_direct(resource)
    _lock(resource, fd)
    _warn_of_container(resource, fd)
    facts = _facts(resource, found)
    _log.info(
        f"{resource.named}: {facts['capacity_sectors']} sectors, blocks of {facts['block_bytes']} bytes, "
        f"{'read and written' if resource.writable else 'read only'}, "
        f"{'direct' if resource.direct else 'through the page cache'}"
    )
    return OpenedResource(fd, facts, int(found.bytes))


def _warn_of_container(resource: Resource, fd: int) -> None:
    # By a description of its own: direct I/O can't read four bytes.
    other = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        container = _CONTAINERS.get(os.pread(other, 4, 0))
    finally:
        os.close(other)
    if container is not None:
        _log.warning(
            f"{resource.named}: begins like a {container} image; the guest is shown its bytes as they are, "
            f"as of any raw one"
        )


def _facts(resource: Resource, found: Any) -> dict[str, int]:
    size_bytes = int(found.bytes)
    block_bytes = int(found.logical_block_bytes)
    if resource.direct:
        block_bytes = max(block_bytes, int(found.offset_alignment))
    if size_bytes < block_bytes:
        raise ConfigurationError(f"{resource.named}: {size_bytes} bytes; {_ALLOWED}")
    rest = size_bytes % block_bytes
    if rest:
        _log.warning(
            f"{resource.named}: the last {rest} bytes are no whole block; the guest doesn't see them"
        )
    return {
        "capacity_sectors": (size_bytes - rest) // _SECTOR_BYTES,
        "block_bytes": block_bytes,
        "physical_block_bytes": max(block_bytes, int(found.physical_block_bytes)),
        "memory_alignment": max(1, int(found.memory_alignment)) if resource.direct else 1,
    }


def _refuse_direct(resource: Resource) -> NoReturn:
    raise ConfigurationError(
        f"{resource.named}: direct=on: its file system has no direct I/O; allowed is direct=off there"
    )


def _lock(resource: Resource, fd: int) -> None:
    error = lib.disk_file_lock(fd, resource.writable, 0)
    holders = ""
    if -error == errno.EAGAIN:
        from vmm_main.device_supervisor.lock_holders import holders_in_words

        holders = holders_in_words(fd)
        if not holders:
            error = lib.disk_file_lock(fd, resource.writable, _LET_GO_WITHIN_MS)
    if error == 0:
        return
    if -error != errno.EAGAIN:
        raise ConfigurationError(
            f"{resource.named}: can't be locked: {os.strerror(-error)}; allowed is a file system with locks"
        )
    others = "it is in use" if resource.writable else "it is written to"
    holders = holders or " by a process that can't be seen from here"
    raise ConfigurationError(
        f"{resource.named}: {others}{holders}; allowed are one writer, or readers only (readonly=on)"
    )
