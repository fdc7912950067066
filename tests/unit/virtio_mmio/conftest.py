from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.virtio_mmio.driver_rig import DriverRig


@pytest.fixture
def rig() -> Iterator[DriverRig]:
    made = DriverRig()
    yield made
    made.close()
