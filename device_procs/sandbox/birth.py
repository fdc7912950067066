"""The first moments of a device process: from the zygote's clone to the control thread.

Everything it needs was imported by the zygote: from here on there is no file system. And what is Python here
costs each process a dozen pages for every call, since it shares all of them with the zygote before.
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


def live(kind: str, jail: ffi.CData) -> NoReturn:
    """Jails this process, says what came of it, and becomes its control thread; never returns."""
    try:
        error = lib.jail_enter(jail)
        if error == 0:
            control_thread.run(kind, jail.control_fd, jail.black_box)
        step = ffi.string(jail.step).decode()
        _say_failed(jail.control_fd, f"jail: {step}: {os.strerror(-error)}")
    finally:
        os._exit(BIRTH_FAILED)  # the control thread ends the process itself


def _say_failed(control_fd: int, reason: str) -> None:
    try:
        Channel(control_fd, "main", {}).send(Message("FAILED", {"reason": reason[:_REASON_CHARACTERS]}))
    except ChannelError:
        pass  # main is gone, or has given this process up: the exit status is all that is left
