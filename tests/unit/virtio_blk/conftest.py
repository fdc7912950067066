from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import pytest

from tests.unit.virtio_blk.blk_rig import BlkRig

MakeRig = Callable[..., BlkRig]


@pytest.fixture
def make_rig() -> Iterator[MakeRig]:
    with ExitStack() as opened:
        yield lambda **options: opened.enter_context(closing(BlkRig(**options)))
