"""QEMU's own client library drives the server."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from qemu.qmp import ExecuteError, QMPClient

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.unit.qmp.fake_machine import RunningMonitors

pytestmark = pytest.mark.timeout(120)


def _drive(path: str, dialogue: Callable[[QMPClient], Awaitable[None]]) -> None:
    async def run() -> None:
        client = QMPClient("test")
        await client.connect(path)
        try:
            await asyncio.wait_for(dialogue(client), 30)
        finally:
            await client.disconnect()

    asyncio.run(run())


async def _execute(client: QMPClient, name: str) -> Any:
    return await client.execute(name)


async def _event(client: QMPClient) -> dict[str, Any]:
    message = await asyncio.wait_for(client.events.get(), 20)
    return dict(message)


def test_greeting_names_a_qemu_of_at_least_5_and_bulkhead(running: RunningMonitors, socket_path: str) -> None:
    async def dialogue(client: QMPClient) -> None:
        assert client.greeting is not None
        version: Any = client.greeting.QMP.version
        assert version["qemu"]["major"] >= 5
        assert version["package"].startswith("Bulkhead ")
        assert await _execute(client, "query-version") == version

    _drive(socket_path, dialogue)


def test_queries_answer_in_qemus_shapes(running: RunningMonitors, socket_path: str) -> None:
    async def dialogue(client: QMPClient) -> None:
        status = await client.execute("query-status")
        assert status == {"status": "running", "running": True, "singlestep": False}
        assert await client.execute("query-name") == {"name": "fake"}
        assert await client.execute("query-kvm") == {"enabled": True, "present": True}
        cpus = await _execute(client, "query-cpus-fast")
        thread_ids = running.machine.vcpu_thread_ids()
        assert [(cpu["cpu-index"], cpu["thread-id"]) for cpu in cpus] == list(enumerate(thread_ids))
        chardevs = await client.execute("query-chardev")
        assert chardevs == [
            {"label": "qmp0", "filename": f"unix:{socket_path},server=on", "frontend-open": True}
        ]

    _drive(socket_path, dialogue)


def test_stop_and_cont_change_the_state_and_are_events(running: RunningMonitors, socket_path: str) -> None:
    async def dialogue(client: QMPClient) -> None:
        assert await client.execute("stop") == {}
        stopped = await _event(client)
        assert stopped["event"] == "STOP"
        assert "data" not in stopped
        assert set(stopped["timestamp"]) == {"seconds", "microseconds"}
        assert (await _execute(client, "query-status"))["status"] == "paused"
        assert await client.execute("cont") == {}
        assert (await _event(client))["event"] == "RESUME"

    _drive(socket_path, dialogue)


@pytest.mark.parametrize(("command", "first"), [("stop", "stop"), ("cont", "system_powerdown")])
def test_redundant_stop_and_cont_are_generic_errors_without_event(
    running: RunningMonitors, socket_path: str, command: str, first: str
) -> None:
    async def dialogue(client: QMPClient) -> None:
        await client.execute(first)
        await _event(client)
        with pytest.raises(ExecuteError) as caught:
            await client.execute(command)
        assert caught.value.error_class == "GenericError"
        # An event would have come before the answer to the next command.
        await client.execute("query-status")
        assert client.events.empty()

    _drive(socket_path, dialogue)


def test_power_and_reset_are_events(running: RunningMonitors, socket_path: str) -> None:
    async def dialogue(client: QMPClient) -> None:
        await client.execute("system_powerdown")
        assert (await _event(client))["event"] == "POWERDOWN"
        await client.execute("system_reset")
        reset = await _event(client)
        assert reset["event"] == "RESET"
        assert reset["data"] == {"guest": False, "reason": "host-qmp-system-reset"}

    _drive(socket_path, dialogue)


def test_quit_answers_first_and_then_tells_everybody(running: RunningMonitors, socket_path: str) -> None:
    async def dialogue(client: QMPClient) -> None:
        witness = QMPClient("witness")
        await witness.connect(socket_path)
        try:
            assert await client.execute("quit") == {}
            for each in (client, witness):
                shutdown = await _event(each)
                assert shutdown["event"] == "SHUTDOWN"
                assert shutdown["data"] == {"guest": False, "reason": "host-qmp-quit"}
        finally:
            await witness.disconnect()

    _drive(socket_path, dialogue)
    assert running.machine.quit_asked.wait(20)


def test_unknown_command_is_command_not_found(running: RunningMonitors, socket_path: str) -> None:
    async def dialogue(client: QMPClient) -> None:
        with pytest.raises(ExecuteError, match="The command savevm has not been found") as caught:
            await client.execute("savevm")
        assert caught.value.error_class == "CommandNotFound"

    _drive(socket_path, dialogue)


def test_commands_may_be_in_flight_together(running: RunningMonitors, socket_path: str) -> None:
    async def dialogue(client: QMPClient) -> None:
        answers = await asyncio.gather(*(client.execute("query-name") for _ in range(50)))
        assert answers == [{"name": "fake"}] * 50

    _drive(socket_path, dialogue)


def test_clients_over_time_and_several_sockets(running: RunningMonitors, socket_path: str) -> None:
    async def dialogue(client: QMPClient) -> None:
        assert (await _execute(client, "query-status"))["running"]

    for _ in range(3):
        _drive(socket_path, dialogue)
    running.wait_for_sessions(0)
