"""Commands about the protocol itself: negotiation, versions, what there is."""

from __future__ import annotations

from vmm_main.qmp.introspection import schema_info
from vmm_main.qmp.qmp_error import QmpError
from vmm_main.qmp.schema import ANY, INT, STR, ArrayOf, Command, Enum, Member, Struct, Table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from vmm_main.qmp.session import Call

VERSION_TRIPLE = Struct(
    "VersionTriple",
    "A version in three numbers.",
    Member("major", INT, "The major number."),
    Member("minor", INT, "The minor number."),
    Member("micro", INT, "The micro number."),
)
VERSION_INFO = Struct(
    "VersionInfo",
    "Which protocol is spoken, and by whom.",
    Member("qemu", VERSION_TRIPLE, "The version of QEMU whose names and shapes are used."),
    Member("package", STR, 'Who speaks it: "Bulkhead" and its version.'),
)
CAPABILITY = Enum(
    "QMPCapability",
    "What a client may enable. Bulkhead offers none of it in its greeting.",
    {"oob": "Commands out of band; never on offer, for each is answered before the next is read."},
)
COMMAND_INFO = Struct("CommandInfo", "A command.", Member("name", STR, "Its name."))
EVENT_INFO = Struct("EventInfo", "An event.", Member("name", STR, "Its name."))
SCHEMA_META_TYPE = Enum(
    "SchemaMetaType",
    "What a SchemaInfo describes.",
    {
        "builtin": "A type of JSON's.",
        "enum": "A string out of few.",
        "array": "An array of one type.",
        "object": "An object.",
        "command": "A command.",
        "event": "An event.",
    },
)
SCHEMA_INFO_OBJECT_MEMBER = Struct(
    "SchemaInfoObjectMember",
    "A member of an object.",
    Member("name", STR, "Its name."),
    Member("type", STR, "The name of its type."),
    Member("default", ANY, "There if the member may be left out.", optional=True),
)
SCHEMA_INFO_ENUM_MEMBER = Struct(
    "SchemaInfoEnumMember", "A value of an enum.", Member("name", STR, "The value.")
)
SCHEMA_INFO = Struct(
    "SchemaInfo",
    "A command, an event or a type. The members after meta-type depend on it.",
    Member("name", STR, "Its name, unique here."),
    Member("meta-type", SCHEMA_META_TYPE, "What it is."),
    Member("json-type", STR, "builtin: the JSON type.", optional=True),
    Member(
        "members",
        ArrayOf(ANY),
        "object: SchemaInfoObjectMembers; enum: SchemaInfoEnumMembers.",
        optional=True,
    ),
    Member("values", ArrayOf(STR), "enum: the values again, as older clients expect them.", optional=True),
    Member("element-type", STR, "array: the type of its elements.", optional=True),
    Member("arg-type", STR, "command and event: the object type of its arguments or data.", optional=True),
    Member("ret-type", STR, "command: the type of what it returns.", optional=True),
)


def _negotiate(call: Call) -> None:
    for capability in call.arguments.get("enable", []):
        raise QmpError(f"Capability '{capability}' is not available")
    call.session.negotiated = True


def _query_version(call: Call) -> dict[str, Any]:
    return call.server.version()


def _query_commands(call: Call) -> list[dict[str, Any]]:
    return [{"name": name} for name in call.server.vocabulary.commands]


def _query_events(call: Call) -> list[dict[str, Any]]:
    return [{"name": name} for name in call.server.vocabulary.events]


def _query_qmp_schema(call: Call) -> list[dict[str, Any]]:
    return schema_info(call.server.vocabulary)


TABLE = Table(
    "The protocol itself",
    "How a session begins, and how a client finds out what it can ask for.",
    commands=(
        Command(
            "qmp_capabilities",
            "Ends the negotiation that every session begins with. Before it no other command is taken and no "
            "event is sent; after it, it is refused.",
            _negotiate,
            Member(
                "enable",
                ArrayOf(CAPABILITY),
                "The capabilities to enable; only those offered.",
                optional=True,
            ),
            negotiation=True,
        ),
        Command(
            "query-version",
            "Tells the version, as the greeting does.",
            _query_version,
            returns=VERSION_INFO,
            example={"qemu": {"micro": 0, "minor": 1, "major": 5}, "package": "Bulkhead 0.1.0"},
        ),
        Command(
            "query-commands",
            "Lists the commands.",
            _query_commands,
            returns=ArrayOf(COMMAND_INFO),
            example=[{"name": "query-status"}],
        ),
        Command(
            "query-events",
            "Lists the events.",
            _query_events,
            returns=ArrayOf(EVENT_INFO),
            example=[{"name": "STOP"}],
        ),
        Command(
            "query-qmp-schema",
            "Describes every command, event and type for programs, in QEMU's introspection format. A client "
            "must not rely on the names of types.",
            _query_qmp_schema,
            returns=ArrayOf(SCHEMA_INFO),
            example=[{"name": "stop", "meta-type": "command", "arg-type": "q_empty", "ret-type": "q_empty"}],
        ),
    ),
)
