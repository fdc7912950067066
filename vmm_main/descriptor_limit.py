"""A start for which the host's limit of open files is too low: said in one line, with what is needed."""

from __future__ import annotations

import errno
import posix as os

from vmm_main.errors import BulkheadError, HostError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vmm_main.vm_config import VmConfig

# Upper bounds, while it starts: what there is of each once, and for each of a VM's parts.
_ONCE = 48
_FOR_A_DEVICE = 8
_FOR_A_QUEUE = 2
_FOR_A_CPU = 2
_FOR_A_CHARDEV = 4


def shortage(error: OSError | BulkheadError, config: VmConfig) -> HostError | None:
    """What to say instead of error, if it came from too low a limit; otherwise None."""
    # A device's process, or main's place for it, tells its reason as text.
    if isinstance(error, OSError):
        is_it = error.errno == errno.EMFILE
    else:
        text = str(error)
        said = os.strerror(errno.EMFILE)
        is_it = said in text and os.strerror(errno.ENFILE) not in text
    if not is_it:
        return None
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = _needed(config)
    return HostError(
        f"{os.strerror(errno.EMFILE)}: the limit is {limit} (RLIMIT_NOFILE); this VM needs up to {needed}: "
        f"`ulimit -n {needed}` allows it"
    )


def _needed(config: VmConfig) -> int:
    devices = sum(
        _FOR_A_DEVICE + (0 if device.plan is None else _FOR_A_QUEUE * len(device.plan.queue_sizes))
        for device in config.devices
    )
    fixed = _ONCE + len(config.fd_sets)
    return int(fixed + devices + _FOR_A_CPU * config.cpus + _FOR_A_CHARDEV * len(config.chardevs))
