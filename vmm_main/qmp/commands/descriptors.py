"""Commands that take file descriptors from the client, sent along with the command by SCM_RIGHTS."""

from __future__ import annotations

from vmm_main.qmp.qmp_error import QmpError
from vmm_main.qmp.schema import STR, Command, Member, Table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vmm_main.qmp.session import Call


def _getfd(call: Call) -> None:
    name = call.arguments["fdname"]
    if not call.session.descriptors:
        raise QmpError("No file descriptor supplied via SCM_RIGHTS")
    fd = call.session.descriptors.pop(0)
    call.server.descriptors.keep(name, fd)


def _closefd(call: Call) -> None:
    call.server.descriptors.close(call.arguments["fdname"])


TABLE = Table(
    "File descriptors",
    "A client on a unix socket may send descriptors, so that Bulkhead needn't be able to open what they "
    "stand for. One that no command takes is closed with the session.",
    commands=(
        Command(
            "getfd",
            "Takes the oldest descriptor that came by SCM_RIGHTS and keeps it under a name, for a later "
            "command. A descriptor of that name is replaced. Names outlive the session.",
            _getfd,
            Member("fdname", STR, "The name; it doesn't begin with a digit."),
            asked={"fdname": "tap0"},
        ),
        Command(
            "closefd",
            "Closes a descriptor that getfd named and no command has taken.",
            _closefd,
            Member("fdname", STR, "The name."),
            asked={"fdname": "tap0"},
        ),
    ),
)
