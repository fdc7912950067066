"""The first moments of a device process: from the zygote's clone to the control thread.

Everything it needs was imported by the zygote: from here on there is no file system.
"""

from __future__ import annotations

import posix as os

from device_procs.data_plane._data_plane import ffi, lib
from device_procs.device_runtime import control_thread
from ipc.channel import Channel, ChannelError
from ipc.messages import Message

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

# Exit status of a process that hasn't reached its control thread; the reason was said on the control socket.
BIRTH_FAILED = 1
_REASON_CHARACTERS = 1000


class BirthError(Exception):
    """A step of the birth failed; the text names it."""


class Newborn:
    """What the zygote tells a process that it has just cloned.

    Attributes:
        kind: Of device.
        control_fd: Its control socket.
        black_box_fd: Its black box.
        maps_fd: Tells when the uid and gid are mapped.
        limits: nofile, fsize and data.
        keeps_groups: Whether supplementary groups can't be dropped.
        seccomp: Whether filters are to be installed.
    """

    __slots__ = ("black_box_fd", "control_fd", "keeps_groups", "kind", "limits", "maps_fd", "seccomp")

    def __init__(
        self,
        kind: str,
        control_fd: int,
        black_box_fd: int,
        maps_fd: int,
        limits: dict[str, int],
        *,
        keeps_groups: bool,
        seccomp: bool,
    ) -> None:
        self.kind = kind
        self.control_fd = control_fd
        self.black_box_fd = black_box_fd
        self.maps_fd = maps_fd
        self.limits = limits
        self.keeps_groups = keeps_groups
        self.seccomp = seccomp


def live(newborn: Newborn) -> NoReturn:
    """Jails this process, says what came of it, and becomes its control thread; never returns."""
    jail = ffi.new("struct jail *")
    jail.control_fd = newborn.control_fd
    try:
        black_box = _enter_jail(newborn, jail)
        control_thread.run(newborn.kind, jail.control_fd, black_box)
    except BirthError as error:
        _say_failed(jail.control_fd, str(error))
    finally:
        os._exit(BIRTH_FAILED)  # the control thread ends the process itself


def _enter_jail(newborn: Newborn, jail: ffi.CData) -> ffi.CData:
    """Takes from the process what it must not have, and sends its certificate; returns the black box."""
    black_box = lib.black_box_attach(newborn.black_box_fd)
    if black_box == ffi.NULL:
        raise BirthError(f"can't map the black box: {os.strerror(ffi.errno)}")
    if not newborn.seccomp:
        lib.filters_disable()
    jail.maps_fd = newborn.maps_fd
    jail.keeps_groups = newborn.keeps_groups
    jail.limit_nofile = newborn.limits["nofile"]
    jail.limit_fsize = newborn.limits["fsize"]
    jail.limit_data = newborn.limits["data"]
    error = lib.jail_enter(jail)
    if error < 0:
        raise BirthError(f"jail: {ffi.string(jail.step).decode()}: {os.strerror(-error)}")
    black_box.stage = lib.STAGE_JAILED
    certificate = bytes(ffi.buffer(jail.certificate, jail.certificate_bytes))
    try:
        channel = Channel(jail.control_fd, "main", {})
        channel.send(Message("BIRTH_CERTIFICATE", {"text": certificate}))
        channel.detach()
    except (OSError, ChannelError) as error:
        raise BirthError(f"birth certificate: {error}") from error
    black_box.stage = lib.STAGE_CERTIFIED
    return black_box


def _say_failed(control_fd: int, reason: str) -> None:
    try:
        Channel(control_fd, "main", {}).send(Message("FAILED", {"reason": reason[:_REASON_CHARACTERS]}))
    except ChannelError:
        pass  # main is gone, or has given this process up: the exit status is all that is left
