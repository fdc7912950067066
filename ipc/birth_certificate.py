"""The birth certificate of a device process: what it has read of itself in /proc/self once it was jailed.

Text, as the kernel gave it: a name, a NUL, what is there, a NUL, for each of the files status, uid_map,
gid_map, mountinfo and limits, the links ns/* and fd/*, and landlock, the version in force. C writes it before
the process is given anything (device_procs/sandbox/birth_certificate.c); main keeps it unread, for audits.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_FILES = ("status", "uid_map", "gid_map", "mountinfo", "limits")


class CertificateError(ValueError):
    """It isn't one."""


def certificate_fields(text: bytes) -> dict[str, Any]:
    """What a certificate says.

    Returns:
        The text of each file by its name; "namespaces", a link such as "net:[4026532201]" for each;
        "descriptors", a link for each by its number; "landlock", the version of it that is in force, or 0.

    Raises:
        CertificateError: The process has sent something else.
    """
    parts = text.decode("utf-8", "backslashreplace").split("\0")
    told = dict(zip(parts[:-1:2], parts[1:-1:2], strict=False))
    try:
        fields: dict[str, Any] = {name: told.pop(name) for name in _FILES}
        fields["landlock"] = int(told.pop("landlock"))
    except (KeyError, ValueError) as error:
        raise CertificateError(f"a birth certificate without {error}") from error
    fields["namespaces"] = [told.pop(name) for name in sorted(told) if name.startswith("ns/")]
    numbers = [name for name in told if name.startswith("fd/") and name[3:].isdecimal()]
    fields["descriptors"] = {int(name[3:]): told.pop(name) for name in numbers}
    if told or len(parts) % 2 == 0 or parts[-1]:
        raise CertificateError(f"a birth certificate with {ascii(next(iter(told), 'half an entry'))[:80]}")
    return fields
