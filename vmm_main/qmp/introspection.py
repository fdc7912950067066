"""Says the vocabulary in QEMU's introspection format (query-qmp-schema), so that QEMU's tools can walk it.

Every entry is a SchemaInfo: a name, a meta-type, and what belongs to that meta-type; types are referred to by
name. QEMU replaces the names of types by numbers; these here are readable, and a client must rely on neither.
"""

from __future__ import annotations

from vmm_main.qmp.schema import ANY, BOOL, EMPTY, INT, NUMBER, STR, ArrayOf, Enum, Struct, Type, Vocabulary

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def schema_info(vocabulary: Vocabulary) -> list[dict[str, Any]]:
    """Returns the SchemaInfo of every command and event, and of every type that they lead to."""
    types: dict[str, Type] = {}
    entities: list[dict[str, Any]] = []
    for command in vocabulary.commands.values():
        _collect(command.arguments, types)
        _collect(command.returns, types)
        entities.append(
            {
                "name": command.name,
                "meta-type": "command",
                "arg-type": command.arguments.name,
                "ret-type": command.returns.name,
            }
        )
    for event in vocabulary.events.values():
        _collect(event.data, types)
        entities.append({"name": event.name, "meta-type": "event", "arg-type": event.data.name})
    for type_ in (STR, INT, NUMBER, BOOL, ANY, EMPTY):
        types.setdefault(type_.name, type_)
    return entities + [_type_info(type_) for type_ in types.values()]


def _collect(type_: Type, types: dict[str, Type]) -> None:
    """Adds type_ and what it leads to.

    Raises:
        ValueError: two types have one name.
    """
    known = types.get(type_.name)
    if known is not None:
        if known is not type_ and not isinstance(type_, ArrayOf):
            raise ValueError(f"two QMP types are called {type_.name}")
        return
    types[type_.name] = type_
    if isinstance(type_, ArrayOf):
        _collect(type_.element, types)
    elif isinstance(type_, Struct):
        for member in type_.members:
            _collect(member.type, types)


def _type_info(type_: Type) -> dict[str, Any]:
    if isinstance(type_, Struct):
        return {
            "name": type_.name,
            "meta-type": "object",
            "members": [
                # A default of null says that the member may be left out, not what is taken then.
                {"name": member.name, "type": member.type.name}
                | ({"default": None} if member.optional else {})
                for member in type_.members
            ],
        }
    if isinstance(type_, ArrayOf):
        return {"name": type_.name, "meta-type": "array", "element-type": type_.element.name}
    if isinstance(type_, Enum):
        return {
            "name": type_.name,
            "meta-type": "enum",
            "members": [{"name": value} for value in type_.values],
            "values": list(type_.values),
        }
    return {"name": type_.name, "meta-type": "builtin", "json-type": type_.json_name}
