"""Packing and unpacking by msgpack's C half, without its package where a start must be lean.

msgpack/__init__.py imports datetime and collections for extension types, which the protocol doesn't have:
2 ms and 0.6 MiB in main and in the zygote. An interpreter without site (-S), as both are, gets the C module
alone, and nobody else there may want extension types of it.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

    from msgpack import Packer, UnpackException, unpackb


class _NoExtensionType:
    """Stands for msgpack's types of extensions: none is ever made."""

    def __init__(self, *_arguments: object) -> None:
        raise ValueError("an extension type")


def _import_c_half() -> tuple[ModuleType, ModuleType]:
    """The C module and its exceptions, in a package that has nothing else.

    Raises:
        ImportError: There is no such package, or it has no C module.
    """
    import _datetime  # type: ignore[import-not-found]
    from _frozen_importlib_external import PathFinder

    found = PathFinder.find_spec("msgpack")
    if found is None or found.submodule_search_locations is None:
        raise ImportError("there is no package msgpack")
    package, extensions = type(sys)("msgpack"), type(sys)("msgpack.ext")
    package.__path__ = list(found.submodule_search_locations)
    extensions.ExtType = extensions.Timestamp = _NoExtensionType  # type: ignore[attr-defined]
    # The C module looks for its C interface only, which datetime.py takes from here too.
    lent = {"msgpack": package, "msgpack.ext": extensions, "datetime": _datetime}
    before = {name: sys.modules.get(name) for name in lent}
    sys.modules.update(lent)
    try:
        from msgpack import _cmsgpack, exceptions
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module
    return _cmsgpack, exceptions


def _choose() -> tuple[Any, Any, Any]:
    if sys.flags.no_site and "msgpack" not in sys.modules:
        try:
            c_half, exceptions = _import_c_half()
        except ImportError:
            pass  # a build of msgpack without C: its package brings what it has instead
        else:
            return c_half.Packer, c_half.unpackb, exceptions.UnpackException
    import msgpack

    return msgpack.Packer, msgpack.unpackb, msgpack.UnpackException


if not TYPE_CHECKING:
    Packer, unpackb, UnpackException = _choose()

__all__ = ["Packer", "UnpackException", "refuse_extension", "unpackb"]


def refuse_extension(_code: int, _data: bytes) -> None:
    """For unpackb(ext_hook=): an extension of no bytes passes max_ext_len=0."""
    raise ValueError("an extension type")
