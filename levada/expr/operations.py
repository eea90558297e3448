"""What each operator does, as one table of functions of two values and the frame."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from levada.expr import budgets, operators, values
from levada.expr.errors import ExpressionError
from levada.expr.frame import Frame

Operation = Callable[[Any, Any, Frame], Any]


def span(a: Any, b: Any, step: Any = 1) -> list[Any]:
    """Return whole numbers, or letters, from `a` to `b`, both included."""
    if isinstance(a, str) and isinstance(b, str) and len(a) == 1 and len(b) == 1:
        return [chr(code) for code in span(ord(a), ord(b), step)]
    low, high = values.whole_number(a, "the start of a range"), values.whole_number(b, "the end of a range")
    by = values.whole_number(step, "the step of a range")
    if by == 0:
        raise ExpressionError("the step of a range must not be 0")
    numbers = range(low, high + (1 if by > 0 else -1), by)
    count = (high - low) // by + 1 if (high - low) * by >= 0 else 0
    budgets.check_items(count)
    return list(numbers)


def _concat(a: Any, b: Any, frame: Frame) -> str:
    return values.concat(values.text(a, frame), values.text(b, frame), frame)


def _ordered(accept: Callable[[int], bool]) -> Operation:
    def compare(a: Any, b: Any, frame: Frame) -> bool:
        result = values.order(a, b)
        return result is not None and accept(result)

    return compare


BINARY: Final[dict[str, Operation]] = {
    "==": values.equals,
    "equals": values.equals,
    "!=": lambda a, b, frame: not values.equals(a, b, frame),
    "<": _ordered(lambda result: result < 0),
    ">": _ordered(lambda result: result > 0),
    "<=": _ordered(lambda result: result <= 0),
    ">=": _ordered(lambda result: result >= 0),
    "contains": values.contains,
    "in": values.is_in,
    "isIn": values.is_in,
    "not in": lambda a, b, frame: not values.is_in(a, b, frame),
    "isNotIn": lambda a, b, frame: not values.is_in(a, b, frame),
    "+": values.add,
    "-": values.subtract,
    "*": lambda a, b, frame: values.calculate("*", a, b),
    "/": lambda a, b, frame: values.calculate("/", a, b),
    "%": lambda a, b, frame: values.calculate("%", a, b),
    "~": _concat,
    "..": lambda a, b, frame: span(a, b),
}

UNARY: Final[dict[str, Callable[[Any], Any]]] = {
    "-": lambda a: values.calculate("*", -1, a),
    "+": lambda a: values.calculate("*", 1, a),
}

# The compiler has its own code for operators that do not evaluate both sides.
assert BINARY.keys() | {"or", "and", "is", "is not", "|", "??", "???"} == operators.BINARY.keys()
assert UNARY.keys() | {"not", "raise"} == operators.UNARY.keys()
