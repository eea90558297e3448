"""The syntax tree: what the parser builds, the compiler turns into closures and `references` reads.

Nodes are data and know nothing of evaluation. `offset` is where the node stands in the template; `height` is the length of
the longest path down to a leaf, kept so that no walk over the tree can be deeper than the parser allows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Expr:
    """An expression; every kind of it has a value."""

    offset: int
    height: int = field(default=1, kw_only=True)


@dataclass(frozen=True, slots=True)
class Literal(Expr):
    """A constant."""

    value: Any


@dataclass(frozen=True, slots=True)
class Join(Expr):
    """A text with `#{…}` parts."""

    parts: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Path(Expr):
    """A variable and the members read from it by constant names: `a.b['c'][0]`."""

    names: tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Member(Expr):
    """A member of a computed value, or one with a computed name."""

    target: Expr
    key: Expr


@dataclass(frozen=True, slots=True)
class ListOf(Expr):
    """A list literal."""

    items: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class MapOf(Expr):
    """A map literal; keys are expressions."""

    entries: tuple[tuple[Expr, Expr], ...]


@dataclass(frozen=True, slots=True)
class Unary(Expr):
    """`not x`, `-x`, `+x`, `raise x`."""

    operator: str
    operand: Expr


@dataclass(frozen=True, slots=True)
class Binary(Expr):
    """Two operands and the operator between them."""

    operator: str
    left: Expr
    right: Expr


@dataclass(frozen=True, slots=True)
class Conditional(Expr):
    """`condition ? yes : no`."""

    condition: Expr
    yes: Expr
    no: Expr


@dataclass(frozen=True, slots=True)
class Arguments:
    """What stands in the parentheses of a call."""

    positional: tuple[Expr, ...] = ()
    named: tuple[tuple[str, Expr], ...] = ()

    def all(self) -> tuple[Expr, ...]:
        """Every argument expression, in order of evaluation."""
        return self.positional + tuple(expr for _, expr in self.named)


@dataclass(frozen=True, slots=True)
class Call(Expr):
    """A function or macro call."""

    name: str
    arguments: Arguments


@dataclass(frozen=True, slots=True)
class Filtered(Expr):
    """`value | name(arguments)`."""

    value: Expr
    name: str
    arguments: Arguments


@dataclass(frozen=True, slots=True)
class Tested(Expr):
    """`value is name(arguments)` and `value is not …`."""

    value: Expr
    name: str
    arguments: Arguments
    negated: bool


@dataclass(frozen=True, slots=True)
class Text:
    """Text that is copied to the output."""

    value: str


@dataclass(frozen=True, slots=True)
class Raw:
    """Text between `{% raw %}` and `{% endraw %}`."""

    value: str


@dataclass(frozen=True, slots=True)
class Print:
    """`{{ value }}`."""

    value: Expr


@dataclass(frozen=True, slots=True)
class Set:
    """`{% set name = value %}`."""

    name: str
    value: Expr


@dataclass(frozen=True, slots=True)
class If:
    """`{% if %}` with its `elseif` branches; `otherwise` is empty where there is no `else`."""

    branches: tuple[tuple[Expr, Body], ...]
    otherwise: Body


@dataclass(frozen=True, slots=True)
class For:
    """`{% for name in items %}`; `otherwise` is rendered when there are no items."""

    offset: int
    name: str
    items: Expr
    body: Body
    otherwise: Body


@dataclass(frozen=True, slots=True)
class FilterBlock:
    """`{% filter a | b %}`: the rendered body goes through filters. `value` has a `Captured` at its innermost place."""

    value: Expr
    body: Body


@dataclass(frozen=True, slots=True)
class Captured(Expr):
    """The rendered body of the filter block around it."""


@dataclass(frozen=True, slots=True)
class Macro:
    """`{% macro name(parameters) %}`."""

    offset: int
    name: str
    parameters: tuple[tuple[str, Expr | None], ...]
    body: Body


@dataclass(frozen=True, slots=True)
class Block:
    """`{% block name %}`: rendered in place, and again by `block(name)`."""

    offset: int
    name: str
    body: Body


Node = Text | Raw | Print | Set | If | For | FilterBlock | Macro | Block


@dataclass(frozen=True, slots=True)
class Body:
    """A sequence of nodes; `cost` is how many steps one rendering of it pays in a loop."""

    nodes: tuple[Node, ...] = ()
    cost: int = 1
