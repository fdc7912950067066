"""What the tests of the contract share: the bench on which they run the real VMM."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.contract.bench import Bench
from tests.guest.bare_metal_image import BareMetalImages


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> BareMetalImages:
    """The guest layer's guest, built once."""
    return BareMetalImages(tmp_path_factory.mktemp("bare_metal"))


@pytest.fixture
def bench(tmp_path: Path, request: pytest.FixtureRequest) -> Bench:
    """The VMM installed beside this python, or what BULKHEAD_PROGRAM names, in a directory of its own."""
    program = os.environ.get("BULKHEAD_PROGRAM") or str(Path(sys.executable).parent / "bulkhead")
    return Bench(program, tmp_path, lambda: request.getfixturevalue("images"))
