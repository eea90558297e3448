"""Modules and functions stay as small as the house style says (CONTRIBUTING.md), so that a reader can hold one in mind."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULE_LINES = 450
"""The aim is 400; this is where it becomes an error."""

FUNCTION_LINES = 60
POSITIONAL_ARGUMENTS = 6
"""Required ones of a public function, `self` included."""

SOURCES = sorted([*(ROOT / "levada").rglob("*.py"), *(ROOT / "services").rglob("*.py")])


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_is_small_and_says_what_it_is_for(path: Path) -> None:
    text = path.read_text()
    tree = ast.parse(text)
    assert len(text.splitlines()) <= MODULE_LINES, f"{len(text.splitlines())} lines; cut it along an idea"
    if tree.body:
        assert ast.get_docstring(tree), "a module opens with a docstring: what it is for, what it must never do"
    assert list(_too_long(tree)) == []


def _too_long(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        lines = (node.end_lineno or node.lineno) - node.lineno + 1 - _docstring_lines(node)
        if lines > FUNCTION_LINES:
            yield f"{node.name} has {lines} lines"
        required = len(node.args.posonlyargs) + len(node.args.args) - len(node.args.defaults)
        if required > POSITIONAL_ARGUMENTS and not node.name.startswith("_") and not _is_command(node):
            yield f"{node.name} has {required} required positional arguments; a dataclass says what they are"


def _docstring_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    first = node.body[0]
    if ast.get_docstring(node) is None:
        return 0
    return (first.end_lineno or first.lineno) - first.lineno + 1


def _is_command(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """The functions of click take one argument per option, and are only called by name."""
    return any("command" in ast.unparse(decorator) for decorator in node.decorator_list)
