"""A running QMP server for each test."""

from __future__ import annotations

from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

import pytest

from tests.unit.qmp.fake_machine import RunningMonitors
from tests.unit.qmp.raw_client import RawClient
from vmm_main.qmp.limits import QmpLimits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Connect = Callable[..., RawClient]


@pytest.fixture
def limits() -> QmpLimits:
    """The server's limits: change them before `running` is used, by a fixture of the same name."""
    return QmpLimits()


@pytest.fixture
def socket_path(tmp_path: Path) -> str:
    return str(tmp_path / "qmp.sock")


@pytest.fixture
def running(limits: QmpLimits, socket_path: str) -> Iterator[RunningMonitors]:
    """Monitors that listen at socket_path."""
    monitors = RunningMonitors(limits)
    monitors.listen(socket_path)
    monitors.start()
    yield monitors
    monitors.stop()


@pytest.fixture
def connect(socket_path: str) -> Iterator[Connect]:
    """Makes clients, which are closed however the test ends: connect(path, greet=False)."""
    with ExitStack() as stack:

        def connect(path: str = socket_path, *, greet: bool = True) -> RawClient:
            return stack.enter_context(closing(RawClient(path, greet=greet)))

        yield connect


@pytest.fixture
def client(running: RunningMonitors, connect: Connect) -> RawClient:
    """A client that has negotiated."""
    connected = connect()
    connected.negotiate()
    return connected
