"""What the guest layer's tests start VMs with."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.guest.bare_metal_image import BareMetalImages
from tests.guest.running_vm import BareMetalVm

StartBareMetal = Callable[..., BareMetalVm]


@pytest.fixture(scope="session")
def program() -> str:
    """The VMM: the command installed beside this python, or what BULKHEAD_PROGRAM names."""
    named = os.environ.get("BULKHEAD_PROGRAM")
    return os.path.abspath(named) if named else str(Path(sys.executable).parent / "bulkhead")


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> BareMetalImages:
    """The bare-metal guest, built once."""
    return BareMetalImages(tmp_path_factory.mktemp("bare_metal"))


@pytest.fixture
def start(program: str, images: BareMetalImages, tmp_path: Path) -> Iterator[StartBareMetal]:
    """Starts VMs that are gone after the test: start(programme, *arguments, form=..., ...).

    form is the kernel's: pvh (if it isn't said), elf or flat. The rest is as BareMetalVm takes it.
    """
    with ExitStack() as stack:

        def start_one(test: str, *arguments: str, form: str = "pvh", **options: Any) -> BareMetalVm:
            vm = BareMetalVm(program, tmp_path, images.form(form), test, *arguments, **options)
            stack.callback(vm.close)
            return vm

        yield start_one
