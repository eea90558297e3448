"""The state of one evaluation: what may be read, and how much has been used of the budgets.

A frame lives as long as one call of `Template.render` or `evaluate`; `render()` inside a template works in a frame of its
own that pays from the same purse (see `nested`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from levada.expr.budgets import CHARS_PER_STEP, MAX_STEPS, VALUES_PER_STEP, check_depth
from levada.expr.errors import BudgetExceeded
from levada.expr.host import Host
from levada.expr.taint import Secret


class Frame:
    """Variables, host and budgets of an evaluation. `scopes` holds what `set`, `for` and macros assign, innermost last."""

    __slots__ = ("captured", "depth", "host", "keeps_raw", "scopes", "steps", "variables", "written")

    def __init__(self, variables: Mapping[str, Any], host: Host | None) -> None:
        self.variables = variables
        self.host = host
        self.scopes: list[dict[str, Any]] = []
        self.steps = 0
        self.depth = 0
        self.written = 0
        self.captured: list[str] = []
        self.keeps_raw = False

    def charge(self, steps: int) -> None:
        """Pay for work. Raises BudgetExceeded when the evaluation has used up its steps."""
        self.steps += steps
        if self.steps > MAX_STEPS:
            raise BudgetExceeded(f"the expression takes more than {MAX_STEPS:,} steps")

    def charge_for(self, value: Any) -> None:
        """Pay for an operation that goes through a whole text, list or map; small ones are free."""
        kind = type(value)
        if kind is str or kind is Secret:
            if len(value) > CHARS_PER_STEP:
                self.charge(len(value) // CHARS_PER_STEP)
        elif (kind is list or kind is dict) and len(value) > VALUES_PER_STEP:
            self.charge(len(value) // VALUES_PER_STEP)

    def assign(self, name: str, value: Any) -> None:
        """Set a variable in the innermost scope that has it, else in the innermost of all."""
        for scope in reversed(self.scopes):
            if name in scope:
                scope[name] = value
                return
        self.scopes[-1][name] = value

    @contextmanager
    def deeper(self) -> Iterator[None]:
        """Count one level of nesting while a body or a nested value is worked on."""
        self.depth += 1
        try:
            check_depth(self.depth)
            yield
        finally:
            self.depth -= 1

    @contextmanager
    def nested(self) -> Iterator[Frame]:
        """Yield a frame for a template inside this one: same variables and host, shared budgets, one level deeper."""
        check_depth(self.depth + 1)
        inner = Frame(self.variables, self.host)
        inner.steps, inner.depth, inner.written = self.steps, self.depth + 1, self.written
        try:
            yield inner
        finally:
            self.steps = inner.steps
