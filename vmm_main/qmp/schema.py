"""What a QMP vocabulary is made of: types, commands, events.

Tables of these are the only description of the protocol: dispatch, the check of arguments, query-commands,
query-qmp-schema and docs/qmp.md all come from them. The kinds of types are those of QEMU's introspection.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from vmm_main.qmp.session import Call

    Handler = Callable[[Call], object]


class Type:
    """A type with a name that is unique in the vocabulary.

    json_name is what QEMU's error texts and introspection call its JSON form.
    """

    __slots__ = ("json_name", "name")

    def __init__(self, name: str, json_name: str) -> None:
        self.name = name
        self.json_name = json_name


class Builtin(Type):
    """One of the types below; there are no others."""

    __slots__ = ()


STR = Builtin("str", "string")
INT = Builtin("int", "int")
NUMBER = Builtin("number", "number")
BOOL = Builtin("bool", "boolean")
ANY = Builtin("any", "value")


class Enum(Type):
    """A string out of few: values maps each to its meaning."""

    __slots__ = ("description", "values")

    def __init__(self, name: str, description: str, values: dict[str, str]) -> None:
        super().__init__(name, "string")
        self.description = description
        self.values = values


class ArrayOf(Type):
    """Any number of values of one type."""

    __slots__ = ("element",)

    def __init__(self, element: Type) -> None:
        super().__init__(f"[{element.name}]", "array")
        self.element = element


class Member:
    """A member of an object, an argument of a command or a datum of an event."""

    __slots__ = ("description", "name", "optional", "type")

    def __init__(self, name: str, type_: Type, description: str, *, optional: bool = False) -> None:
        self.name = name
        self.type = type_
        self.description = description
        self.optional = optional


class Struct(Type):
    """An object with the members named, and no others."""

    __slots__ = ("description", "members")

    def __init__(self, name: str, description: str, *members: Member) -> None:
        super().__init__(name, "object")
        self.description = description
        self.members = members


EMPTY = Struct("q_empty", "An object without members.")


class Command:
    """A command: handler(call) returns what the reply's "return" holds, None standing for an empty object.

    A handler runs on the event loop's thread and must not block. It fails by QmpError, or by a BulkheadError,
    whose text becomes a GenericError's.

    Attributes:
        negotiation: allowed before capabilities were negotiated, and only then.
        after_reply: the handler runs once the reply is on its way: for commands that end the process.
        asks_devices: main waits for device processes to answer it.
    """

    __slots__ = (
        "after_reply",
        "arguments",
        "asked",
        "asks_devices",
        "description",
        "example",
        "handler",
        "name",
        "negotiation",
        "returns",
    )

    def __init__(
        self,
        name: str,
        description: str,
        handler: Handler,
        *arguments: Member,
        returns: Type = EMPTY,
        asked: dict[str, object] | None = None,
        example: object = None,
        negotiation: bool = False,
        after_reply: bool = False,
        asks_devices: bool = False,
    ) -> None:
        self.name = name
        self.description = description
        self.handler = handler
        self.arguments = (
            Struct(f"q_{name}-arg", f"The arguments of {name}.", *arguments) if arguments else EMPTY
        )
        self.returns = returns
        # What a client may ask with, and what the reply's "return" may then hold, for the reference.
        self.asked = asked or {}
        self.example: object = {} if example is None else example
        self.negotiation = negotiation
        self.after_reply = after_reply
        self.asks_devices = asks_devices

    @property
    def is_query(self) -> bool:
        """Whether all that comes of it is its answer."""
        return self.name.startswith("query-")

    @property
    def only_looks(self) -> bool:
        """Whether it may be executed in the middle of another that waits for devices."""
        return self.negotiation or (self.is_query and not self.asks_devices)


class Event:
    """An event, sent to every client that has negotiated."""

    __slots__ = ("data", "description", "name")

    def __init__(self, name: str, description: str, *data: Member) -> None:
        self.name = name
        self.description = description
        self.data = Struct(f"q_{name}-arg", f"The data of {name}.", *data) if data else EMPTY


class Table:
    """The commands and events of one subject."""

    __slots__ = ("commands", "description", "events", "title")

    def __init__(
        self,
        title: str,
        description: str,
        commands: tuple[Command, ...] = (),
        events: tuple[Event, ...] = (),
    ) -> None:
        self.title = title
        self.description = description
        self.commands = commands
        self.events = events


class Vocabulary:
    """Everything a server understands and says: tables, registered in any order."""

    __slots__ = ("commands", "events", "tables")

    def __init__(self, tables: tuple[Table, ...] = ()) -> None:
        self.tables: list[Table] = []
        self.commands: dict[str, Command] = {}
        self.events: dict[str, Event] = {}
        for table in tables:
            self.register(table)

    def register(self, table: Table) -> None:
        """Adds a table.

        Raises:
            ValueError: a command or event of that name is there already.
        """
        for command in table.commands:
            if command.name in self.commands:
                raise ValueError(f"command {command.name} is registered twice")
            self.commands[command.name] = command
        for event in table.events:
            if event.name in self.events:
                raise ValueError(f"event {event.name} is registered twice")
            self.events[event.name] = event
        self.tables.append(table)
