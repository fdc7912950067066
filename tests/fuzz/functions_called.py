"""Which functions of Python a call comes to."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any


def functions_called(call: Callable[[], object]) -> set[str]:
    """The names of all functions of Python that call() comes to."""
    called: set[str] = set()

    def trace(frame: FrameType, _event: str, _argument: Any) -> None:
        called.add(frame.f_code.co_name)

    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(None)
    return called
