"""What a template reads, told without running it.

The validator checks these paths against the flow, and the executor sends a worker only this slice of the variables. The set
must therefore never be too small: a computed member name cuts the path before it, and a function that can read anything
makes the set unknowable (`whole`). It may be too large: a branch that is never taken counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from levada.expr import nodes, registry
from levada.expr.nodes import Body, Expr
from levada.expr.template_parser import parse

CACHE_SIZE: Final = 4096
CACHED_CHARS: Final = 16_384


@dataclass(frozen=True, slots=True)
class References:
    """Paths of variables, names of functions and filters; `whole` when the paths cannot be known."""

    paths: frozenset[tuple[str, ...]] = frozenset()
    functions: frozenset[str] = frozenset()
    whole: bool = False
    filters: frozenset[str] = frozenset()

    def __or__(self, other: References) -> References:
        return References(
            self.paths | other.paths,
            self.functions | other.functions,
            self.whole or other.whole,
            self.filters | other.filters,
        )


NONE: Final = References()


def references(value: Any) -> References:
    """Return what a template, or every template inside a list or map (keys too), reads. Raises ExpressionError."""
    found = NONE
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, str):
            if "{" in item:
                found = found | (_cached(str(item)) if len(item) <= CACHED_CHARS else _read(item))
        elif isinstance(item, Mapping):
            pending.extend(item)
            pending.extend(item.values())
        elif isinstance(item, list | tuple | set | frozenset):
            pending.extend(item)
    return found


def needs_io(value: Any) -> bool:
    """Tell whether rendering `value` may call something that must run on a worker.

    That is a function that another service performs, or a `heavy` filter. A template that renders other templates may call
    anything, so it counts as one that does.
    """
    found = references(value)
    if any(registry.FILTERS[name].heavy for name in found.filters if name in registry.FILTERS):
        return True
    return any(
        name in _RENDERING or registry.FUNCTIONS[name].io for name in found.functions if name in registry.FUNCTIONS
    )


_RENDERING: Final = frozenset({"render", "renderOnce"})


def _read(source: str) -> References:
    reader = _Reader()
    reader.body(parse(source), frozenset())
    return References(frozenset(reader.paths), frozenset(reader.functions), reader.whole, frozenset(reader.filters))


_cached = lru_cache(CACHE_SIZE)(_read)


class _Reader:
    """Walks a tree; `local` are the names that the template itself assigned at that place."""

    def __init__(self) -> None:
        self.paths: set[tuple[str, ...]] = set()
        self.functions: set[str] = set()
        self.filters: set[str] = set()
        self.macros: set[str] = set()
        self.whole = False

    def body(self, body: Body, local: frozenset[str]) -> frozenset[str]:
        """Read a body and return the names known after it."""
        self.macros |= {node.name for node in body.nodes if isinstance(node, nodes.Macro)}
        for node in body.nodes:
            local = self.node(node, local)
        return local

    def node(self, node: nodes.Node, local: frozenset[str]) -> frozenset[str]:
        match node:
            case nodes.Text() | nodes.Raw():
                pass
            case nodes.Print():
                self.expression(node.value, local)
            case nodes.Set():
                self.expression(node.value, local)
                return local | {node.name}
            case nodes.If():
                # A name set in one branch only may still come from outside in the other.
                for condition, branch in node.branches:
                    self.expression(condition, local)
                    self.body(branch, local)
                self.body(node.otherwise, local)
            case nodes.For():
                self.expression(node.items, local)
                self.body(node.body, local | {node.name, "loop"})
                self.body(node.otherwise, local)
            case nodes.FilterBlock():
                self.expression(node.value, local)
                self.body(node.body, local)
            case nodes.Block():
                self.body(node.body, local)
            case nodes.Macro():
                for _, default in node.parameters:
                    if default is not None:
                        self.expression(default, local)
                self.body(node.body, frozenset(name for name, _ in node.parameters))
        return local

    def expression(self, root: Expr, local: frozenset[str]) -> None:
        pending = [root]
        while pending:
            expr = pending.pop()
            if isinstance(expr, nodes.Path):
                if expr.names[0] not in local:
                    self.paths.add(tuple(str(name) for name in expr.names))
            elif isinstance(expr, nodes.Call):
                self.call(expr)
            elif isinstance(expr, nodes.Filtered):
                self.filters.add(expr.name)
            pending.extend(_children(expr))

    def call(self, call: nodes.Call) -> None:
        if call.name in self.macros:
            return
        self.functions.add(call.name)
        entry = registry.FUNCTIONS.get(call.name)
        if entry is not None:
            self.paths.update(entry.reads)
            self.whole = self.whole or entry.whole


def _children(expr: Expr) -> Iterator[Expr]:
    match expr:
        case nodes.Member():
            yield from (expr.target, expr.key)
        case nodes.Binary():
            yield from (expr.left, expr.right)
        case nodes.Unary():
            yield expr.operand
        case nodes.Conditional():
            yield from (expr.condition, expr.yes, expr.no)
        case nodes.Filtered() | nodes.Tested():
            yield expr.value
            yield from expr.arguments.all()
        case nodes.Call():
            yield from expr.arguments.all()
        case nodes.Join():
            yield from expr.parts
        case nodes.ListOf():
            yield from expr.items
        case nodes.MapOf():
            yield from (part for entry in expr.entries for part in entry)
