"""The tables: what the server says is what they declare, and QEMU's tools can walk the introspection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from vmm_main.qmp.commands import TABLES, protocol, vm_state
from vmm_main.qmp.introspection import schema_info
from vmm_main.qmp.qmp_error import QmpError
from vmm_main.qmp.schema import (
    ANY,
    BOOL,
    INT,
    NUMBER,
    STR,
    ArrayOf,
    Command,
    Enum,
    Event,
    Member,
    Struct,
    Table,
    Type,
    Vocabulary,
)
from vmm_main.qmp.session import Call
from vmm_main.qmp.value_check import check_value

if TYPE_CHECKING:
    from tests.unit.qmp.fake_machine import RunningMonitors
    from tests.unit.qmp.raw_client import RawClient

pytestmark = pytest.mark.timeout(120)

_ISSUED = [
    "qmp_capabilities",
    "query-version",
    "query-name",
    "query-status",
    "query-cpus-fast",
    "query-chardev",
    "query-kvm",
    "query-commands",
    "query-qmp-schema",
    "stop",
    "cont",
    "system_powerdown",
    "system_reset",
    "quit",
]


def test_every_command_and_event_promised_is_there(client: RawClient) -> None:
    commands = {each["name"] for each in client.execute("query-commands")["return"]}
    assert set(_ISSUED) <= commands
    events = {each["name"] for each in client.execute("query-events")["return"]}
    assert {"SHUTDOWN", "RESET", "STOP", "RESUME", "POWERDOWN"} <= events


def test_every_query_returns_what_its_table_says(client: RawClient) -> None:
    vocabulary = Vocabulary(TABLES)
    queries = [
        name
        for name, command in vocabulary.commands.items()
        if name.startswith("query-") and all(member.optional for member in command.arguments.members)
    ]
    assert len(queries) > 5
    for name in queries:
        check_value(client.execute(name)["return"], vocabulary.commands[name].returns, name)


def test_every_example_is_of_the_type_that_its_command_returns() -> None:
    for command in Vocabulary(TABLES).commands.values():
        check_value(command.example, command.returns, command.name)
        check_value(command.asked, command.arguments, command.name)


def test_every_event_of_the_machine_is_of_its_declared_type(
    running: RunningMonitors, client: RawClient
) -> None:
    vocabulary = Vocabulary(TABLES)
    seen = set()
    for name in ("stop", "cont", "system_reset", "system_powerdown", "quit"):
        message = client.execute(name)
        while "event" not in message:
            message = client.receive()
        if name != "quit":
            assert client.receive() == {"return": {}}
        seen.add(message["event"])
        check_value(message.get("data", {}), vocabulary.events[message["event"]].data, message["event"])
    assert seen == {event.name for event in vm_state.TABLE.events}


def test_introspection_can_be_walked(client: RawClient) -> None:
    entries: list[dict[str, Any]] = client.execute("query-qmp-schema")["return"]
    by_name = {entry["name"]: entry for entry in entries}
    assert len(by_name) == len(entries), "names are unique"
    members: dict[str, set[str]] = {
        "builtin": {"json-type"},
        "enum": {"members", "values"},
        "array": {"element-type"},
        "object": {"members"},
        "command": {"arg-type", "ret-type"},
        "event": {"arg-type"},
    }
    reached = set()

    def walk(name: str) -> None:
        if name in reached:
            return
        reached.add(name)
        entry = by_name[name]
        assert set(entry) == {"name", "meta-type"} | members[entry["meta-type"]]
        for key in ("arg-type", "ret-type", "element-type"):
            if key in entry:
                walk(entry[key])
        if entry["meta-type"] == "object":
            for member in entry["members"]:
                assert set(member) in ({"name", "type"}, {"name", "type", "default"})
                walk(member["type"])
        if entry["meta-type"] in ("command", "event"):
            assert by_name[entry["arg-type"]]["meta-type"] == "object"

    for entry in entries:
        walk(entry["name"])
    listed = {each["name"] for each in client.execute("query-commands")["return"]}
    assert {entry["name"] for entry in entries if entry["meta-type"] == "command"} == listed
    assert by_name["RunState"]["values"][:2] == ["prelaunch", "running"]
    enable = by_name[by_name["qmp_capabilities"]["arg-type"]]["members"]
    assert enable == [{"name": "enable", "type": "[QMPCapability]", "default": None}]


def _echo(call: Call) -> dict[str, Any]:
    return {"seen": call.arguments}


_COLOUR = Enum("Colour", "A colour.", {"red": "Red.", "blue": "Blue."})
_POINT = Struct("Point", "A point.", Member("x", INT, "."), Member("y", NUMBER, ".", optional=True))
_ECHO = Struct("Echo", "What came.", Member("seen", ANY, "."))
_LATER = Table(
    "Later",
    "As a later issue would add it.",
    commands=(
        Command(
            "x-echo",
            "Tells what it was given.",
            _echo,
            Member("name", STR, "."),
            Member("on", BOOL, ".", optional=True),
            Member("colour", _COLOUR, ".", optional=True),
            Member("points", ArrayOf(_POINT), ".", optional=True),
            returns=_ECHO,
        ),
    ),
    events=(Event("X_HAPPENED", "Something happened.", Member("what", STR, ".")),),
)


def test_a_later_table_is_registered_and_nothing_else(running: RunningMonitors, client: RawClient) -> None:
    running.on_loop(lambda: running.monitors.server().vocabulary.register(_LATER))
    assert client.execute("x-echo", name="a") == {"return": {"seen": {"name": "a"}}}
    running.on_loop(lambda: running.machine.emit("X_HAPPENED", {"what": "it"}))
    event = client.receive()
    assert (event["event"], event["data"]) == ("X_HAPPENED", {"what": "it"})
    assert "x-echo" in str(client.execute("query-commands"))
    assert "Colour" in str(client.execute("query-qmp-schema"))


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({}, "Parameter 'name' is missing"),
        ({"name": 1}, "Invalid parameter type for 'name', expected: string"),
        ({"name": None}, "Invalid parameter type for 'name', expected: string"),
        ({"name": "a", "nane": "b"}, "Parameter 'nane' is unexpected"),
        ({"name": "a", "on": 1}, "Invalid parameter type for 'on', expected: boolean"),
        ({"name": "a", "colour": "green"}, "Parameter 'colour' does not accept value 'green'"),
        ({"name": "a", "colour": 1}, "Invalid parameter type for 'colour', expected: string"),
        ({"name": "a", "points": {}}, "Invalid parameter type for 'points', expected: array"),
        ({"name": "a", "points": [{}]}, "Parameter 'points[0].x' is missing"),
        (
            {"name": "a", "points": [{"x": True}]},
            "Invalid parameter type for 'points[0].x', expected: integer",
        ),
        (
            {"name": "a", "points": [{"x": 1.0}]},
            "Invalid parameter type for 'points[0].x', expected: integer",
        ),
        (
            {"name": "a", "points": [{"x": 1 << 64}]},
            "Invalid parameter type for 'points[0].x', expected: integer",
        ),
        (
            {"name": "a", "points": [{"x": 1, "y": "2"}]},
            "Invalid parameter type for 'points[0].y', expected: number",
        ),
        ({"name": "a", "points": [{"x": 1, "z": 2}]}, "Parameter 'points[0].z' is unexpected"),
    ],
)
def test_wrong_arguments_get_qemus_texts(arguments: dict[str, Any], error: str) -> None:
    with pytest.raises(QmpError) as caught:
        check_value(arguments, _LATER.commands[0].arguments, "")
    assert str(caught.value) == error


def test_right_arguments_pass() -> None:
    arguments = {"name": "a", "on": True, "colour": "red", "points": [{"x": -1, "y": 2.5}, {"x": 2}]}
    check_value(arguments, _LATER.commands[0].arguments, "")


def test_a_name_is_registered_once() -> None:
    with pytest.raises(ValueError, match="query-version is registered twice"):
        Vocabulary((*TABLES, Table("", "", commands=(protocol.TABLE.commands[1],))))
    with pytest.raises(ValueError, match="event STOP is registered twice"):
        Vocabulary((*TABLES, Table("", "", events=(Event("STOP", ""),))))


def test_two_types_of_one_name_are_found() -> None:
    other: Type = Struct("RunState", "Another.")
    table = Table("", "", events=(Event("X", "", Member("state", other, "")),))
    with pytest.raises(ValueError, match="two QMP types are called RunState"):
        schema_info(Vocabulary((*TABLES, table)))
