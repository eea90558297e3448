"""What goes wrong while an expression is read or evaluated.

Every failure of this package is an `ExpressionError`: it says what is wrong, where (line and column count from 1 inside
the template text) and shows the piece of markup it happened in. A filter raises it without a position; the node that called
the filter adds the position on the way out. Building the text is put off until somebody reads it, because `??` catches
errors all the time and must stay cheap.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from levada.model.errors import UserError

SNIPPET_CHARS = 160


class ExpressionError(UserError):
    """An expression cannot be read or evaluated."""

    def __init__(
        self, message: str, *, line: int | None = None, column: int | None = None, expression: str = ""
    ) -> None:
        super().__init__(message)
        self._message = message
        self.line = line
        self.column = column
        self.expression = expression

    @property
    def message(self) -> str:
        """What is wrong, without the position."""
        return self._message

    def locate(self, source: str, offset: int) -> None:
        """Record that the error happened at `offset` of `source`; the first position given stays."""
        if self.line is None:
            self.line, self.column = position(source, offset)
            self.expression = snippet(source, offset)

    def __str__(self) -> str:
        if self.line is None:
            return self.message
        where = f"line {self.line}, column {self.column}"
        return f"{self.message} ({where} of `{self.expression}`)" if self.expression else f"{self.message} ({where})"


class UndefinedVariable(ExpressionError):
    """An expression reads a variable or a member that does not exist."""

    def __init__(self, path: str, known: Iterable[object] = (), hint: str = "") -> None:
        super().__init__("")
        self.path = path
        self._known = known
        self._hint = hint

    @property
    def message(self) -> str:
        """Name the missing variable and the names that come nearest to it."""
        text = f"Missing variable: '{self.path}'"
        if self._hint:
            return f"{text}: {self._hint}"
        known = [name for name in self._known if isinstance(name, str)]
        near = get_close_matches(self.path.rpartition(".")[2], known, n=3, cutoff=0.6)
        if near:
            return f"{text}; did you mean {' or '.join(repr(str(name)) for name in near)}?"
        if known:
            shown = ", ".join(sorted(known)[:10])
            return f"{text}; known here: {shown}{', …' if len(known) > 10 else ''}"
        return text


class BudgetExceeded(ExpressionError):
    """An expression needs more steps, memory or nesting than it may use."""


def unknown(kind: str, name: str, known: Iterable[str]) -> ExpressionError:
    """Say that `name` is not in a registry, and what was probably meant."""
    near = get_close_matches(name, list(known), n=3, cutoff=0.6)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    return ExpressionError(f"{kind} [{name}] does not exist{hint}")


def position(source: str, offset: int) -> tuple[int, int]:
    """Return line and column, both from 1, of a character offset."""
    line_start = source.rfind("\n", 0, offset) + 1
    return source.count("\n", 0, line_start) + 1, offset - line_start + 1


def snippet(source: str, offset: int) -> str:
    """Return the markup around `offset`, on one line and not longer than SNIPPET_CHARS."""
    start = max(source.rfind("{{", 0, offset + 2), source.rfind("{%", 0, offset + 2), 0)
    ends = [end + 2 for end in (source.find("}}", offset), source.find("%}", offset)) if end >= 0]
    text = " ".join(source[start : min(ends, default=len(source))].split())
    return text if len(text) <= SNIPPET_CHARS else text[: SNIPPET_CHARS - 1] + "…"
