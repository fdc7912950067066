"""Opens what devices need of the host, one opener per kind: devices get descriptors, never paths."""

from __future__ import annotations

import _stat as stat
import posix as os

from vmm_main.device_supervisor.disk_image import open_disk_image
from vmm_main.device_supervisor.opened_resource import OpenedResource
from vmm_main.errors import ConfigurationError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from device_procs.device_module import Resource
    from vmm_main.fd_sets import FdSets


def open_resource(resource: Resource, fd_sets: FdSets) -> OpenedResource:
    """A descriptor of the caller's own, and what was found out about it.

    Raises:
        ConfigurationError: It can't be opened, or is something else.
    """
    return _OPENERS[resource.kind](resource, fd_sets)


def _open_character_device(resource: Resource, fd_sets: FdSets) -> OpenedResource:
    """For reading, non-blocking: a source that has nothing yet must not keep a worker from its other work."""
    allowed = "allowed is a character device that can be read, such as /dev/urandom"
    given = fd_sets.find(resource.path, resource.named)
    try:
        if given is not None:
            # Opened anew where that can be: flags of a description that the caller shares aren't ours to set.
            fd = os.open(f"/proc/self/fd/{given}", os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        else:
            # Looked at before it is opened: to open some things (a FIFO, a tape) does something.
            if not stat.S_ISCHR(os.stat(resource.path).st_mode):
                raise ConfigurationError(f"{resource.named}: not a character device; {allowed}")
            fd = os.open(resource.path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        raise ConfigurationError(f"{resource.named}: can't open: {error.strerror}; {allowed}") from error
    if not stat.S_ISCHR(os.fstat(fd).st_mode):
        os.close(fd)
        raise ConfigurationError(f"{resource.named}: not a character device; {allowed}")
    return OpenedResource(fd)


_OPENERS = {"character-device": _open_character_device, "disk-image": open_disk_image}
