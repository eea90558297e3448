"""WHERE clauses for searches whose conditions the caller chooses.

Only values travel as parameters; column names come from tables in this code, never from a request.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from levada.model.errors import UserError


class Conditions:
    """Collects conditions and their parameters, starting after those that the statement has already."""

    def __init__(self, *first: Any) -> None:
        self.values: list[Any] = list(first)
        self._parts: list[str] = []

    def add(self, template: str, *values: Any) -> None:
        """Add a condition; every `{}` in it becomes the parameter of the value at its place."""
        self._parts.append(template.format(*(self.parameter(value) for value in values)))

    def parameter(self, value: Any) -> str:
        self.values.append(value)
        return f"${len(self.values)}"

    def namespace(self, namespace: str | None, *, below: bool) -> None:
        """The namespace, and those below it if asked for."""
        if namespace is None:
            return
        if below:
            self.add("(namespace = {} OR starts_with(namespace, {}))", namespace, f"{namespace}.")
        else:
            self.add("namespace = {}", namespace)

    def text(self, text: str | None, columns: Sequence[str]) -> None:
        """Some column contains the text, in whatever case."""
        if text:
            parameter = self.parameter(f"%{escaped(text)}%")
            self._parts.append(f"({' OR '.join(f'{column} ILIKE {parameter}' for column in columns)})")

    def __str__(self) -> str:
        """ANDed, for behind a WHERE."""
        return " AND ".join(self._parts) or "true"


def escaped(text: str) -> str:
    """Return text for LIKE that matches itself only."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def order(sort: Sequence[tuple[str, bool]], fields: Mapping[str, str], last: str) -> str:
    """Return ORDER BY's list for (field, descending); `last` makes the order total. Raises UserError."""
    parts = []
    for field, descending in sort:
        if field not in fields:
            raise UserError(f"cannot sort by `{field}`, only by {', '.join(sorted(fields))}")
        parts.append(f"{fields[field]} {'DESC NULLS LAST' if descending else 'ASC'}")
    return ", ".join([*parts, last])
