"""The code of a module without what only its readers need, for the bundle of a start (docs/decisions/0004).

Docstrings, annotations and what is there for type checkers alone are a fifth of the code that a start
would read. Nothing asks for them at run time. What says where an error has come from, names and line
numbers, stays.
"""

from __future__ import annotations

import ast
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType


def lean_code(source: str) -> CodeType:
    """Compiles the module in the file that source names.

    Raises:
        OSError: It can't be read.
        SyntaxError: It isn't Python.
    """
    tree = _ForReadersOnly().visit(ast.parse(Path(source).read_bytes(), source))
    return compile(tree, source, "exec", dont_inherit=True)


class _ForReadersOnly(ast.NodeTransformer):
    """Leaves out docstrings, annotations with the future that makes them text, and `if TYPE_CHECKING:`.

    Dataclasses and named tuples, which need their annotations, have no place in a lean start anyway.
    """

    def visit_Module(self, node: ast.Module) -> ast.AST:
        """Its docstring."""
        return self.generic_visit(_without_docstring(node))

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        """Its docstring."""
        return self.generic_visit(_without_docstring(node))

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        """Its docstring, and what it returns."""
        node.returns = None
        return self.generic_visit(_without_docstring(node))

    def visit_arg(self, node: ast.arg) -> ast.AST:
        """What a function's argument is."""
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        """`name: type = value` assigns; without a value it does nothing."""
        self.generic_visit(node)
        if node.value is None:
            return _nothing(node)
        return ast.copy_location(ast.Assign([node.target], node.value), node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST:
        """There is one future here, that of annotations."""
        return _nothing(node) if node.module == "__future__" else node

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        """Of `if TYPE_CHECKING:` the other branch stays."""
        self.generic_visit(node)
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return node.orelse or _nothing(node)
        return node


def _without_docstring(node: ast.Module | ast.ClassDef | ast.FunctionDef) -> ast.AST:
    if ast.get_docstring(node, clean=False) is not None:
        node.body[0] = _nothing(node.body[0])
    return node


def _nothing(instead_of: ast.stmt) -> ast.stmt:
    return ast.copy_location(ast.Pass(), instead_of)
