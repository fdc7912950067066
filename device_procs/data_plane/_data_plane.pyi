"""What type checkers see of the C extension that build_data_plane.py makes.

cffi has no types to give: a C name is Any. tests/style/test_extension_names.py checks every name that Python
takes from `lib` against the compiled extension instead.
"""

from typing import Any, ClassVar, TypeAlias

class ffi:  # noqa: N801
    """An object in truth; a class here, so that ffi.CData is a type."""

    CData: TypeAlias = Any
    NULL: ClassVar[CData]
    errno: ClassVar[int]

    @staticmethod
    def new(cdecl: str, init: Any = ...) -> CData: ...
    @staticmethod
    def list_types() -> tuple[list[str], list[str], list[str]]: ...
    @staticmethod
    def cast(cdecl: str, source: Any) -> CData: ...
    @staticmethod
    def addressof(cdata: CData, *fields: str | int) -> CData: ...
    @staticmethod
    def sizeof(cdata: str | CData) -> int: ...
    @staticmethod
    def offsetof(cdecl: str, *fields: str | int) -> int: ...
    @staticmethod
    def buffer(cdata: CData, size: int = ...) -> memoryview: ...
    @staticmethod
    def from_buffer(source: Any) -> CData: ...
    @staticmethod
    def memmove(destination: Any, source: Any, size: int) -> None: ...
    @staticmethod
    def release(cdata: CData) -> None: ...
    @staticmethod
    def callback(cdecl: str, function: Any) -> CData: ...
    @staticmethod
    def string(cdata: CData, maximum: int = ...) -> bytes: ...

lib: Any
