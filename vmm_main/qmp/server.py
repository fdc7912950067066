"""The QMP server of a VM: its vocabulary, its sessions, and the way of an event to all of them.

Made when the first client comes; nothing on the start-up path imports it (listener.py does, late).
"""

from __future__ import annotations

import _socket
import time

from vmm_main.log import Logger
from vmm_main.qmp.commands import TABLES
from vmm_main.qmp.limits import QmpLimits
from vmm_main.qmp.named_descriptors import NamedDescriptors
from vmm_main.qmp.qmp_error import GENERIC_ERROR
from vmm_main.qmp.schema import Vocabulary
from vmm_main.qmp.wire_format import encode_line
from vmm_main.version import VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from vmm_main.qmp.listener import QmpMonitors
    from vmm_main.qmp.machine_interface import MachineInterface
    from vmm_main.qmp.session import QmpSession

_log = Logger("qmp")

# The QEMU whose protocol is spoken: what its names and shapes are taken from, and what clients compare.
_QEMU_VERSION = {"micro": 0, "minor": 1, "major": 5}
_PACKAGE = f"Bulkhead {VERSION}"


class QmpServer:
    """What all sessions of one VM share.

    Attributes:
        waiting: How many of them wait for their budget to come back.
    """

    __slots__ = ("descriptors", "limits", "machine", "monitors", "sessions", "vocabulary", "waiting")

    def __init__(
        self,
        machine: MachineInterface,
        monitors: QmpMonitors,
        limits: QmpLimits | None = None,
        vocabulary: Vocabulary | None = None,
    ) -> None:
        self.machine = machine
        self.monitors = monitors
        self.limits = limits or QmpLimits()
        self.vocabulary = vocabulary or Vocabulary(TABLES)
        self.sessions: list[QmpSession] = []
        self.waiting = 0
        self.descriptors = NamedDescriptors()
        machine.add_event_listener(self.emit)

    def version(self) -> dict[str, Any]:
        """Returns a VersionInfo."""
        return {"qemu": _QEMU_VERSION, "package": _PACKAGE}

    def greeting(self) -> dict[str, Any]:
        """Returns the first message of every session.

        No capability is offered: "oob" lets a command overtake one that takes long. Here queries
        overtake those that wait for devices, in other sessions; in its own, each command keeps its place.
        """
        return {"QMP": {"version": self.version(), "capabilities": []}}

    def refuse(self, client: _socket.socket) -> None:
        """Tells a client for whom there is no place, and hangs up."""
        desc = f"{self.limits.clients} clients are on this socket, which is the limit; one must leave first"
        try:
            client.send(encode_line({"error": {"class": GENERIC_ERROR, "desc": desc}}), _socket.MSG_NOSIGNAL)
        except OSError as error:
            _log.info(f"a client that was refused didn't hear of it: {error.strerror}")
        client.close()

    def emit(self, name: str, data: dict[str, Any]) -> None:
        """Sends an event to every client that has negotiated."""
        if name not in self.vocabulary.events:
            _log.error(f"event {name} is in no QMP table and was not sent")
            return
        now_ns = time.time_ns()
        message: dict[str, Any] = {
            "timestamp": {"seconds": now_ns // 1_000_000_000, "microseconds": now_ns // 1000 % 1_000_000},
            "event": name,
        }
        if data:
            message["data"] = data
        line = encode_line(message)
        for session in tuple(self.sessions):  # a session may end by it
            session.send_event(line)
