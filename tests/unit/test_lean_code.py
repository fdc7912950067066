"""A module's code without what only its readers need: smaller, and the same to whoever runs it."""

from __future__ import annotations

import ast
import traceback
from pathlib import Path
from types import CodeType
from typing import Any

import pytest

from ipc.lean_start.lean_code import lean_code

CHECKOUT = Path(__file__).resolve().parents[2]

SOURCE = '''"""A module's docstring."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from nowhere import Missing
else:
    other: str = "the other branch"

declared: Missing
LIMIT: int = 3


class Holder:
    """A class's docstring."""

    __slots__ = ("value",)
    kind: Missing = "kind"

    def __init__(self, value: Missing, /, *more: Missing, limit: Missing = LIMIT, **rest: Missing) -> None:
        """A method's docstring."""
        self.value: Missing = (value, more, limit, rest)

    def nothing(self) -> None:
        """Nothing but a docstring."""


def fail(divisor: Missing) -> Missing:
    if TYPE_CHECKING:
        from nowhere import More
    quotient: More
    quotient = (lambda dividend: dividend // divisor)(1)
    return quotient
'''


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "module.py"
    path.write_text(SOURCE)
    return path


@pytest.fixture
def module(source: Path) -> dict[str, Any]:
    made: dict[str, Any] = {"__name__": "module"}
    exec(lean_code(str(source)), made)
    return made


def test_it_does_what_the_module_does(module: dict[str, Any]) -> None:
    assert module["other"] == "the other branch"
    assert module["Holder"](1, 2, more=4).value == (1, (2,), 3, {"more": 4})
    assert module["Holder"].kind == "kind"
    assert module["Holder"](1).nothing() is None
    assert module["fail"](1) == 1


def test_nothing_is_left_for_readers(module: dict[str, Any]) -> None:
    for thing in (module["Holder"], module["Holder"].__init__, module["Holder"].nothing, module["fail"]):
        assert thing.__doc__ is None
        assert not getattr(thing, "__annotations__", {})
    assert not module.keys() & {"__doc__", "__annotations__", "annotations", "declared"}


def test_an_error_says_where_it_comes_from(module: dict[str, Any], source: Path) -> None:
    with pytest.raises(ZeroDivisionError) as raised:
        module["fail"](0)
    place = traceback.extract_tb(raised.value.__traceback__)[-1]
    assert (place.filename, place.name) == (str(source), "<lambda>")
    assert place.line == "quotient = (lambda dividend: dividend // divisor)(1)"


def _names(code: CodeType) -> set[str]:
    inner = [each for each in code.co_consts if isinstance(each, CodeType)]
    return {code.co_qualname}.union(*map(_names, inner))


@pytest.mark.parametrize("package", ["vmm_main", "ipc", "device_procs"])
def test_every_function_of_ours_stays(package: str) -> None:
    for path in (CHECKOUT / package).rglob("*.py"):
        whole = compile(path.read_bytes(), str(path), "exec")
        missing = _names(whole) - _names(lean_code(str(path)))
        assert {name.partition(".")[0] for name in missing} == _classes_for_type_checkers(path), path


def _classes_for_type_checkers(path: Path) -> set[str]:
    blocks = [node for node in ast.parse(path.read_bytes()).body if isinstance(node, ast.If)]
    return {node.name for block in blocks for node in block.body if isinstance(node, ast.ClassDef)}
