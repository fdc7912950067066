"""hostile_calls.c, compiled."""

from __future__ import annotations

from pathlib import Path

from tests.device.own_extension import OwnExtension

_extension = OwnExtension(Path(__file__).resolve().parent, "hostile_calls")
LIBRARY, ffi, lib = _extension.library, _extension.ffi, _extension.lib
