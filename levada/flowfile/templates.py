"""What one template reads, with positions and with what its author took care of.

`levada.expr.references` tells the set of paths for sending a slice of variables; checking a flow needs more: where each path
stands, and whether its absence is handled (`a ?? b`, `a is defined`, `a | default(b)`). A path that is handled once in a
template counts as handled everywhere in it. Names that the template assigns itself are left out.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any, Final

from levada import expr
from levada.expr import nodes, template_parser
from levada.expr.errors import ExpressionError, position

_FORGIVING_OPERATORS: Final = frozenset({"??", "???"})
_FORGIVING_TESTS: Final = frozenset({"defined", "null", "empty"})


@dataclass(frozen=True, slots=True)
class Read:
    """One path that a template reads: its names, and its place in the template (from 1)."""

    names: tuple[str | int, ...]
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Analysis:
    """`error` is set when the template cannot be read; then nothing else is known."""

    reads: tuple[Read, ...] = ()
    error: str | None = None
    line: int = 1
    column: int = 1


@lru_cache(maxsize=4096)
def analyse(source: str) -> Analysis:
    """Return what the template reads, or why it cannot be read. Never raises."""
    try:
        expr.compile(source)
        body = template_parser.parse(source)
    except ExpressionError as problem:
        return Analysis(error=problem.message, line=problem.line or 1, column=problem.column or 1)
    found = _Walk()
    found.visit(body)
    return Analysis(tuple(found.unhandled(source)))


class _Walk:
    def __init__(self) -> None:
        self._paths: list[nodes.Path] = []
        self._forgiven: set[tuple[str | int, ...]] = set()
        self._local: set[str] = set()

    def visit(self, root: Any) -> None:
        pending: list[tuple[Any, bool]] = [(root, False)]
        while pending:
            node, forgiven = pending.pop()
            if isinstance(node, nodes.Path):
                self._paths.append(node)
                if forgiven:
                    self._forgiven.add(node.names)
                continue
            self._names(node)
            first = _forgiving_part(node)
            pending.extend((child, forgiven or child is first) for child in _children(node))

    def _names(self, node: Any) -> None:
        """Remember names that the template assigns itself."""
        match node:
            case nodes.Set() | nodes.For():
                self._local.add(node.name)
            case nodes.Macro():
                self._local.update(name for name, _ in node.parameters)
            case _:
                return

    def unhandled(self, source: str) -> Iterator[Read]:
        for path in self._paths:
            if path.names[0] in self._local or self._is_forgiven(path.names):
                continue
            line, column = position(source, path.offset)
            yield Read(path.names, line, column)

    def _is_forgiven(self, names: tuple[str | int, ...]) -> bool:
        return any(names[: len(one)] == one or one[: len(names)] == names for one in self._forgiven)


def _forgiving_part(node: Any) -> Any:
    """Return the child whose absence the node handles."""
    if isinstance(node, nodes.Binary) and node.operator in _FORGIVING_OPERATORS:
        return node.left
    if isinstance(node, nodes.Tested) and node.name in _FORGIVING_TESTS:
        return node.value
    if isinstance(node, nodes.Filtered) and node.name == "default":
        return node.value
    return None


_FIELDS: dict[type, tuple[str, ...]] = {}


def _fields(kind: type) -> tuple[str, ...]:
    known = _FIELDS.get(kind)
    if known is None:
        known = _FIELDS[kind] = tuple(field.name for field in fields(kind))
    return known


def _children(node: Any) -> Iterator[Any]:
    """Yield the parts of a node of the syntax tree, whatever its kind."""
    if isinstance(node, tuple):
        yield from (part for part in node if not isinstance(part, str | int | None))
    elif hasattr(node, "__dataclass_fields__"):
        for name in _fields(type(node)):
            value = getattr(node, name)
            if not isinstance(value, str | int | float | None):
                yield value
