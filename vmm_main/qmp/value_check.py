"""Checks JSON values against the schema: the arguments of commands, and in tests whatever the server says."""

from __future__ import annotations

from vmm_main.qmp.qmp_error import QmpError
from vmm_main.qmp.schema import ANY, BOOL, INT, NUMBER, STR, ArrayOf, Enum, Struct, Type

# What QEMU's texts call the types (they say integer where introspection says int).
_EXPECTED = {"int": "integer"}
_INT64_MIN, _UINT64_MAX = -(1 << 63), (1 << 64) - 1


def check_value(value: object, type_: Type, path: str) -> None:
    """Raises QmpError with QEMU's text unless value is of the type; path names it there ("fds[0].fd")."""
    if isinstance(type_, Struct):
        _check_members(value, type_, path)
    elif isinstance(type_, ArrayOf):
        if not isinstance(value, list):
            raise _wrong_type(type_, path)
        for index, element in enumerate(value):
            check_value(element, type_.element, f"{path}[{index}]")
    elif isinstance(type_, Enum):
        if not isinstance(value, str):
            raise _wrong_type(type_, path)
        if value not in type_.values:
            raise QmpError(f"Parameter '{path}' does not accept value '{value}'")
    elif not _is_builtin(value, type_):
        raise _wrong_type(type_, path)


def _check_members(value: object, struct: Struct, path: str) -> None:
    if not isinstance(value, dict):
        raise _wrong_type(struct, path)
    prefix = f"{path}." if path else ""
    for member in struct.members:
        if member.name in value:
            check_value(value[member.name], member.type, prefix + member.name)
        elif not member.optional:
            raise QmpError(f"Parameter '{prefix}{member.name}' is missing")
    known = [member.name for member in struct.members]
    for name in value:
        if name not in known:
            raise QmpError(f"Parameter '{prefix}{name}' is unexpected")


def _is_builtin(value: object, type_: Type) -> bool:
    if type_ is ANY:
        return True
    if type_ is BOOL:
        return isinstance(value, bool)
    if isinstance(value, bool):  # Python's bool is an int, JSON's isn't
        return False
    if type_ is INT:
        return isinstance(value, int) and _INT64_MIN <= value <= _UINT64_MAX
    if type_ is NUMBER:
        return isinstance(value, int | float)
    assert type_ is STR, type_.name
    return isinstance(value, str)


def _wrong_type(type_: Type, path: str) -> QmpError:
    expected = _EXPECTED.get(type_.json_name, type_.json_name)
    return QmpError(f"Invalid parameter type for '{path}', expected: {expected}")
