"""A UART for each test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.legacy_devices.serial_rig import SerialRig

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def rig() -> Iterator[SerialRig]:
    made = SerialRig()
    yield made
    made.close()
