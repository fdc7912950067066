"""Why a host refuses user namespaces, in words: the one thing the jail can't do without."""

from __future__ import annotations

import errno
import posix as os

# Settings that refuse them -> the value that does. Debian's, the kernel's own, Ubuntu's.
_SETTINGS = (
    ("kernel.unprivileged_userns_clone", "0"),
    ("user.max_user_namespaces", "0"),
    ("kernel.apparmor_restrict_unprivileged_userns", "1"),
)


def why_refused(error_number: int, proc_sys: str = "/proc/sys") -> str:
    """What refused a new namespace, and what to do about it.

    Args:
        error_number: Of clone() or unshare().
        proc_sys: Where the settings are.
    """
    said = os.strerror(error_number)
    for name, refusing in _SETTINGS:
        if _value(f"{proc_sys}/{name.replace('.', '/')}") == refusing:
            allowing = {"0": "1", "1": "0"}[refusing] if name != "user.max_user_namespaces" else "15000"
            return f"{said}: the sysctl {name} is {refusing}; `sysctl -w {name}={allowing}` allows it"
    if error_number == errno.ENOSPC:
        return f"{said}: a limit of namespaces is reached; see the sysctls user.max_*_namespaces"
    if error_number == errno.EPERM:
        return f"{said}: the sandbox that Bulkhead itself runs in (a container's seccomp profile?) forbids it"
    return said


def _value(path: str) -> str | None:
    """A setting's value; by the calls that the zygote's filter has, for open() makes others as well."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None  # a kernel without this setting
    try:
        return os.read(fd, 64).decode("ascii").strip()
    finally:
        os.close(fd)
