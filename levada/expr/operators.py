"""The operators: how tightly each binds, what it is called in documentation.

Higher precedence binds tighter. Two things surprise newcomers and are Pebble's: a filter binds tighter than arithmetic and
comparison (`a + b | upper` is `a + (b | upper)`) but looser than `~` and `??` (`a ?? 'x' | upper` filters whichever value
was taken), and `not` binds tighter than everything binary. What the operators do lives in `values` and `compiler`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator for the parser, the editor and the documentation."""

    name: str
    precedence: int
    signature: str
    doc: str
    io: bool = False


_TABLE: Final = (
    Operator("or", 10, "a or b", "True when one of the two is true; `b` is evaluated only when needed."),
    Operator("and", 15, "a and b", "True when both are true; `b` is evaluated only when needed."),
    Operator("is", 20, "a is test", "True when the test holds."),
    Operator("is not", 20, "a is not test", "True when the test does not hold."),
    Operator(
        "contains", 20, "a contains b", "True when the list, map (keys) or text `a` contains `b`, or all of a list `b`."
    ),
    Operator("in", 20, "a in b", "True when `a` is an item of a list, a key or value of a map, or a part of a text."),
    Operator("isIn", 20, "a isIn b", "The same as `in`."),
    Operator("not in", 20, "a not in b", "The opposite of `in`."),
    Operator("isNotIn", 20, "a isNotIn b", "The same as `not in`."),
    Operator("==", 30, "a == b", "Equal; numbers by value, everything else only with its own type."),
    Operator("equals", 30, "a equals b", "The same as `==`."),
    Operator("!=", 30, "a != b", "Not equal."),
    Operator("<", 30, "a < b", "Less: numbers, texts and dates; false when one of the two is null."),
    Operator(">", 30, "a > b", "Greater: numbers, texts and dates; false when one of the two is null."),
    Operator("<=", 30, "a <= b", "Less or equal."),
    Operator(">=", 30, "a >= b", "Greater or equal."),
    Operator("+", 40, "a + b", "Sum of numbers; texts are put together, lists appended."),
    Operator("-", 40, "a - b", "Difference of numbers; items of `b` taken out of a list."),
    Operator("*", 60, "a * b", "Product of numbers."),
    Operator("/", 60, "a / b", "Quotient; of two whole numbers a whole number, cut towards zero."),
    Operator("%", 60, "a % b", "Remainder, with the sign of `a`."),
    Operator("|", 100, "a | filter", "The value after the filter."),
    Operator("~", 110, "a ~ b", "Both as texts, put together; null counts as empty."),
    Operator("..", 120, "a..b", "List of whole numbers (or letters) from `a` to `b`."),
    Operator("??", 120, "a ?? b", "`a`, or `b` when `a` is undefined or null."),
    Operator("???", 120, "a ??? b", "`a`, or `b` when `a` is undefined; null stays null."),
)

BINARY: Final = {operator.name: operator for operator in _TABLE}

UNARY: Final = {
    operator.name: operator
    for operator in (
        Operator("not", 500, "not a", "The opposite of a truth value."),
        Operator("-", 500, "-a", "The number with the other sign."),
        Operator("+", 500, "+a", "The number."),
        Operator("raise", 5, "raise a", "Fail with the text `a` as message."),
    )
}

TERNARY: Final = Operator("?:", 0, "a ? b : c", "`b` when `a` is true, else `c`; only one of them is evaluated.")

OPERATORS: Final = {
    **BINARY,
    **{f"unary {name}" if name in BINARY else name: operator for name, operator in UNARY.items()},
    "?:": TERNARY,
    ".": Operator(".", 1000, "a.b", "The member `b` of a map."),
    "[]": Operator("[]", 1000, "a[b]", "The member of a map, or the item of a list counted from 0."),
}
