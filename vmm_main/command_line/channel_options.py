"""The options about channels between guest and host: serial port, chardevs, QMP, the caller's descriptors."""

from __future__ import annotations

from vmm_main.command_line.option_table import Key, Option, OptionTable
from vmm_main.command_line.value_types import Boolean, Choice, Identifier, Integer, Path, Text
from vmm_main.vm_config import ChardevConfig, FdSetEntry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from vmm_main.command_line.value_types import ValueType
    from vmm_main.vm_config import VmConfig

_BACKENDS = ("stdio", "pty", "socket", "file")
_MAX_FD = (1 << 31) - 1
_ADDRESS_MAX_CHARACTERS = 4096


def _chardev(config: VmConfig, values: dict[str, Any]) -> None:
    chardev_id = values["id"]
    if any(other.chardev_id == chardev_id for other in config.chardevs):
        raise ValueError(f"id={chardev_id}: another chardev has that id; allowed is one that is free")
    config.chardevs.append(make_chardev(chardev_id, values["backend"], values))


def _serial(config: VmConfig, values: dict[str, Any]) -> None:
    backend = _address(values["backend"])
    if backend == "none":
        if len(values) > 1:
            raise ValueError("none has no keys; allowed is none alone")
        return
    if backend.startswith("chardev:"):
        if len(values) > 1:
            raise ValueError("the chardev has keys of its own; allowed is chardev:ID alone")
        config.serial_chardev_id = _behind("chardev:", backend, Identifier())
        return
    if backend.startswith("file:") and len(values) == 1:
        backend, values = "file", {"path": _behind("file:", backend, Path())}
    elif backend.startswith("unix:"):
        values = {**values, "path": _behind("unix:", backend, Path())}
        backend = "socket"
    if backend not in _BACKENDS:
        raise ValueError(f"an unknown back end; allowed are chardev:ID, {', '.join(_BACKENDS)} and none")
    asked_as = f"-serial {backend}" if "path" not in values else f"-serial {backend},path={values['path']}"
    chardev = make_chardev(_free_id(config, "serial0"), backend, values, asked_as)
    config.chardevs.append(chardev)
    config.serial_chardev_id = chardev.chardev_id


def _qmp(config: VmConfig, values: dict[str, Any]) -> None:
    address = _address(values["address"])
    if address.startswith("chardev:"):
        if len(values) > 1:
            raise ValueError("the chardev has keys of its own; allowed is chardev:ID alone")
        _add_monitor(config, _behind("chardev:", address, Identifier()), f"-qmp {address}")
        return
    given = {key: value for key, value in values.items() if key != "address"}
    if address == "stdio":
        backend = "stdio"
    elif address.startswith("unix:"):
        backend = "socket"
        given["path"] = _behind("unix:", address, Path())
        if not given.get("server", False):
            raise ValueError("server is missing; allowed is unix:PATH,server,nowait")
    else:
        raise ValueError("an unknown address; allowed are unix:PATH,server,nowait, stdio and chardev:ID")
    wanted = f"qmp{len(config.qmp_chardev_ids)}"
    chardev = make_chardev(_free_id(config, wanted), backend, given, f"-qmp {address}")
    config.chardevs.append(chardev)
    _add_monitor(config, chardev.chardev_id, f"-qmp {address}")


def _address(text: str) -> str:
    """An address with what is before its colon (or all of it) in small letters."""
    word, colon, rest = text.partition(":")
    return word.lower() + colon + rest


def _behind(prefix: str, address: str, value_type: ValueType) -> str:
    """What stands behind the prefix of an address.

    Raises:
        ValueError: It isn't what value_type allows.
    """
    try:
        return str(value_type.read(address.removeprefix(prefix)))
    except ValueError as error:
        raise ValueError(f"{error}; allowed behind {prefix} is {value_type.allowed}") from error


def _mon(config: VmConfig, values: dict[str, Any]) -> None:
    _add_monitor(config, values["chardev"], f"-mon chardev={values['chardev']}")


def _add_monitor(config: VmConfig, chardev_id: str, asked_as: str) -> None:
    if chardev_id in config.qmp_chardev_ids:
        raise ValueError(f"chardev {chardev_id} has a QMP server already; allowed is one each")
    config.qmp_chardev_ids.append(chardev_id)
    config.qmp_asked_as[chardev_id] = asked_as


def _add_fd(config: VmConfig, values: dict[str, Any]) -> None:
    config.fd_sets.append(FdSetEntry(values["fd"], values["set"], values.get("opaque")))


def make_chardev(
    chardev_id: str, backend: str, values: dict[str, Any], asked_as: str | None = None
) -> ChardevConfig:
    """A chardev from its keys, wherever they stood (asked_as, if not behind -chardev).

    Raises:
        ValueError: The back end needs another key, or has no use for one of these.
    """
    path, fd = values.get("path"), values.get("fd")
    server = values.get("server", False)
    nowait = values.get("nowait", not values.get("wait", True))
    allowed = {"file": ("path",), "socket": ("path", "fd", "server", "nowait", "wait")}.get(backend, ())
    for key in ("path", "fd", "server", "nowait", "wait"):
        if key in values and key not in allowed:
            raise ValueError(f"{key}: {backend} has no use for it; allowed is {backend} without it")
    if backend == "file" and path is None:
        raise ValueError("path= is missing; allowed is a file that doesn't exist yet")
    if backend == "socket":
        if (path is None) == (fd is None):
            # Only -chardev has fd=; -serial and -qmp are told of by asked_as.
            either = " or fd= with a listening socket" if asked_as is None else ""
            problem = "path= is missing" if path is None else "path= and fd= exclude each other"
            raise ValueError(f"{problem}; allowed is path= with a socket's path{either}")
        if fd is not None and not server:
            raise ValueError(f"fd={fd}: without server; allowed is a listening socket, with server")
        if not server and ("nowait" in values or "wait" in values):
            raise ValueError("nowait: only a server can wait; allowed is server,nowait")
        if "nowait" in values and "wait" in values and values["nowait"] == values["wait"]:
            raise ValueError("nowait and wait contradict each other; allowed is one of them")
    return ChardevConfig(
        chardev_id, backend, path=path, server=server, nowait=nowait, fd=fd, asked_as=asked_as
    )


def _free_id(config: VmConfig, wanted: str) -> str:
    """An id for a chardev that the user gave none; every -chardev has been read by now."""
    taken = {chardev.chardev_id for chardev in config.chardevs}
    while wanted in taken:
        wanted += "_"
    return wanted


def _socket_keys() -> tuple[Key, ...]:
    return (
        Key("path", Path(), "file: the file, which must not exist; socket: where the socket is."),
        Key("server", Boolean(), "socket: makes the socket and listens; otherwise connects to it."),
        Key("nowait", Boolean(), "socket: doesn't wait for a client before the guest starts."),
        Key("wait", Boolean(), "socket: the opposite of nowait, as newer QEMUs spell it."),
    )


_FD = Key("fd", Integer(0, _MAX_FD), "socket: a listening socket of the caller's, instead of a path.")

TABLE = OptionTable(
    "Channels",
    Option(
        "-serial",
        "Puts a 16550A UART (console=ttyS0) on the board and connects it: to a -chardev, or to a back end "
        "given here. QEMU's file:FILE and unix:PATH are understood too. Without -serial (or with none) there "
        "is no serial port.",
        _serial,
        Key(
            "backend",
            Text("chardev:ID|stdio|pty|socket|file|none", 1, _ADDRESS_MAX_CHARACTERS),
            "What it is connected to.",
            required=True,
        ),
        *_socket_keys(),
        first_key="backend",
    ),
    Option(
        "-chardev",
        "Opens a channel on the host, for -serial and -mon. stdio: standard input and output (Ctrl-A x ends "
        "the VM, Ctrl-A h helps); pty: a pseudo-terminal, whose name is printed; socket: a unix socket, one "
        "client at a time; file: output only.",
        _chardev,
        Key("backend", Choice(*_BACKENDS), "The kind of channel.", required=True),
        Key("id", Identifier(), "Its name.", required=True),
        *_socket_keys(),
        _FD,
        first_key="backend",
        may_repeat=True,
        read_first=True,
    ),
    Option(
        "-qmp",
        "Serves QMP, the control protocol of QEMU: on a unix socket that takes many clients, on standard "
        "input and output, or on a -chardev. May be given several times.",
        _qmp,
        Key(
            "address",
            Text("unix:PATH|stdio|chardev:ID", 1, _ADDRESS_MAX_CHARACTERS),
            "Where.",
            required=True,
        ),
        *_socket_keys()[1:],
        first_key="address",
        may_repeat=True,
    ),
    Option(
        "-mon",
        "Serves QMP on a -chardev.",
        _mon,
        Key("chardev", Identifier(), "Which.", required=True),
        Key("mode", Choice("control"), "The protocol: control is QMP, and the only one.", required=True),
        Key("id", Identifier(), "No effect."),
        first_key="chardev",
        may_repeat=True,
    ),
    Option(
        "-add-fd",
        "Makes a descriptor that the caller left open usable as /dev/fdset/SET, for -kernel, -initrd and the "
        "file of a chardev or drive.",
        _add_fd,
        Key("fd", Integer(0, _MAX_FD), "The descriptor.", required=True),
        Key("set", Integer(0, _MAX_FD), "The number of the set; it may have several.", required=True),
        Key("opaque", Text("TEXT", 0, _ADDRESS_MAX_CHARACTERS), "A note for people."),
        may_repeat=True,
    ),
)
