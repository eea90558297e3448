"""What values are to the language: their text, their truth, how they compare and calculate.

Values are what JSON has, plus dates, times and durations, plus `Decimal` for numbers that must stay exact. Text and
arithmetic follow Kestra, which runs on Java: whole numbers divide to whole numbers, `1e10` prints as `1.0E10`, a date-time
leaves out seconds that are zero, maps and lists print as JSON. Unlike there whole numbers never wrap around; they are
refused when they become absurdly long.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from levada.expr import budgets, instants, json_text
from levada.expr.errors import ExpressionError
from levada.expr.frame import Frame
from levada.expr.taint import Secret

Number = int | float | Decimal
_SCALARS: Final = frozenset({int, bool, float, type(None)})
_CONTAINERS: Final = (dict, list, tuple, set, frozenset, Mapping)


def text(value: Any, frame: Frame) -> str:
    """Return the text of a value; a Secret where it derives from one. Raises ExpressionError for foreign types."""
    kind = type(value)
    if kind is str or kind is Secret:
        return value  # type: ignore[no-any-return]
    if kind not in _SCALARS and isinstance(value, _CONTAINERS):
        return json_text.dump(value, frame)
    return scalar_text(value)


def scalar_text(value: Any) -> str:
    """Return the text of a value that is no list or map. Raises ExpressionError for foreign types."""
    match value:
        case None:
            return ""
        case str():
            return str.__str__(value)
        case bool():
            return "true" if value else "false"
        case int():
            return str(int(value))
        case float():
            return float_text(value)
        case datetime() | date() | time() | timedelta():
            return instants.java_text(value)
        case Decimal():
            return f"{value:f}"
        case bytes() | bytearray() | memoryview():
            budgets.check_text(len(value))
            return bytes(value).decode(errors="replace")
        case UUID():
            return str(value)
    raise ExpressionError(f"a value of type {type(value).__name__} has no text form")


def float_text(value: float) -> str:
    """Write a float as Java does: plain from 0.001 up to ten million, `1.0E7` style outside of that."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    if value == 0 or 1e-3 <= abs(value) < 1e7:
        return f"{Decimal(repr(value)):f}" if "e" in repr(value) else repr(value)
    sign, digits, exponent = Decimal(repr(value)).as_tuple()
    shown = "".join(map(str, digits)).rstrip("0") or "0"
    power = len(digits) - 1 + int(exponent)
    return f"{'-' if sign else ''}{shown[0]}.{shown[1:] or '0'}E{power}"


def type_name(value: Any) -> str:
    """Return what a user calls the type of a value."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float() | Decimal():
            return "number"
        case str():
            return "text"
        case datetime() | date() | time():
            return "date"
        case timedelta():
            return "duration"
        case Mapping():
            return "map"
        case list() | tuple() | set() | frozenset():
            return "list"
    return type(value).__name__


def is_number(value: Any) -> bool:
    """Tell whether a value is a number; a boolean is none."""
    kind = type(value)
    return kind is int or kind is float or (isinstance(value, int | float | Decimal) and kind is not bool)


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def truth(value: Any, where: str) -> bool:
    """Return the truth of a value inside the language: any text that is not empty is true, even 'false'.

    `truthy` in `template` is another rule: the one by which Kestra judges a rendered condition.
    """
    kind = type(value)
    if kind is bool:
        return value  # type: ignore[no-any-return]
    if isinstance(value, str):
        return value != ""
    if is_number(value):
        return value != 0 and not _is_nan(value)
    if value is None:
        raise ExpressionError(f"null is neither true nor false in {where}; write `?? false`")
    raise ExpressionError(f"a {type_name(value)} is neither true nor false in {where}; compare it, or use `is empty`")


# --- comparison


def equals(a: Any, b: Any, frame: Frame) -> bool:
    """Compare by value: numbers with numbers, dates as moments, lists and maps by their items; other types never mix."""
    kind = type(a)
    if kind is type(b) and kind is not float and not isinstance(a, _CONTAINERS):
        return bool(a == b)
    if isinstance(a, str) and isinstance(b, str):
        return str.__eq__(a, b) is True
    if is_number(a) and is_number(b):
        return bool(a == b)
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return len(a) == len(b) and all(key in b and _equal_items(a[key], b[key], frame) for key in a)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(_equal_items(x, y, frame) for x, y in zip(a, b, strict=True))
    if isinstance(a, datetime) and isinstance(b, datetime):
        return instants.aware(a) == instants.aware(b)
    if (
        isinstance(a, bool | str | list | Mapping)
        or isinstance(b, bool | str | list | Mapping)
        or a is None
        or b is None
    ):
        return False
    return bool(a == b)


def _equal_items(a: Any, b: Any, frame: Frame) -> bool:
    if a is b:
        return True
    if not isinstance(a, _CONTAINERS):
        return equals(a, b, frame)
    frame.charge(2 + len(a) // budgets.VALUES_PER_STEP)
    frame.depth += 1
    try:
        budgets.check_depth(frame.depth)
        return equals(a, b, frame)
    finally:
        frame.depth -= 1


def order(a: Any, b: Any) -> int | None:
    """Return -1, 0 or 1 for two values that have an order, None when one of them is null or not a number."""
    if is_number(a) and is_number(b):
        return None if _is_nan(a) or _is_nan(b) else (a > b) - (a < b)
    if isinstance(a, str) and isinstance(b, str):
        return (a > b) - (a < b)
    if a is None or b is None:
        return None
    if isinstance(a, date) or isinstance(b, date):
        x, y = instants.moment(a), instants.moment(b)
        return (x > y) - (x < y)
    if isinstance(a, timedelta) and isinstance(b, timedelta):
        return (a > b) - (a < b)
    raise ExpressionError(f"cannot compare a {type_name(a)} with a {type_name(b)}")


def contains(whole: Any, part: Any, frame: Frame) -> bool:
    """`whole contains part`: all items, one item, a key, or a piece of text."""
    if whole is None:
        return False
    if isinstance(whole, str):
        return text(part, frame) in whole
    if isinstance(whole, Mapping):
        return part in whole
    if isinstance(whole, list | tuple | set):
        wanted = part if isinstance(part, list | tuple | set) else [part]
        return all(any(_equal_items(item, one, frame) for item in whole) for one in wanted)
    raise ExpressionError(f"`contains` looks into a list, map or text, not into a {type_name(whole)}")


def is_in(part: Any, whole: Any, frame: Frame) -> bool:
    """`part in whole`: compares the texts of the values, as Kestra does; a map is searched by key and value."""
    if part is None or whole is None:
        return False
    wanted = text(part, frame)
    if isinstance(whole, str):
        return wanted in whole
    if isinstance(whole, Mapping):
        frame.charge(len(whole) // budgets.VALUES_PER_STEP)
        return any(text(key, frame) == wanted or text(item, frame) == wanted for key, item in whole.items())
    if isinstance(whole, list | tuple | set):
        frame.charge(len(whole) // budgets.VALUES_PER_STEP)
        return any(text(item, frame) == wanted for item in whole)
    return False


# --- calculation


def concat(a: str, b: str, frame: Frame) -> str:
    """Put two texts together; the result is secret when one of them is."""
    length = len(a) + len(b)
    if length > budgets.CHARS_PER_STEP:
        budgets.check_text(length)
        frame.charge(length // budgets.CHARS_PER_STEP)
    joined = str.__add__(a, b)
    return Secret(joined) if type(a) is Secret or type(b) is Secret else joined


def add(a: Any, b: Any, frame: Frame) -> Any:
    """`a + b`: sum, text or longer list; null beside a text reads `null`, as in Kestra."""
    if isinstance(a, str) or isinstance(b, str):
        return concat("null" if a is None else text(a, frame), "null" if b is None else text(b, frame), frame)
    if isinstance(a, list | tuple):
        more = list(b) if isinstance(b, list | tuple) else [b]
        budgets.check_items(len(a) + len(more))
        frame.charge((len(a) + len(more)) // budgets.VALUES_PER_STEP)
        return [*a, *more]
    if isinstance(b, timedelta) and isinstance(a, datetime | date | timedelta):
        return a + b
    return calculate("+", a, b)


def subtract(a: Any, b: Any, frame: Frame) -> Any:
    """`a - b`: difference, or the list without some items."""
    if isinstance(a, list | tuple):
        drop = b if isinstance(b, list | tuple) else [b]
        return [item for item in a if not any(_equal_items(item, one, frame) for one in drop)]
    if isinstance(a, datetime) and isinstance(b, datetime):
        return instants.aware(a) - instants.aware(b)
    if isinstance(b, timedelta) and isinstance(a, datetime | date | timedelta):
        return a - b
    return calculate("-", a, b)


def calculate(operator: str, a: Any, b: Any) -> Any:
    """Apply one of `+ - * / %` to two numbers. Raises ExpressionError for other values and for division by zero."""
    if not is_number(a) or not is_number(b):
        raise ExpressionError(f"`{operator}` needs two numbers, not a {type_name(a)} and a {type_name(b)}")
    if isinstance(a, Decimal) or isinstance(b, Decimal):
        a, b = Decimal(str(a)), Decimal(str(b))
    whole = isinstance(a, int) and isinstance(b, int)
    if operator in "/%" and b == 0:
        raise ExpressionError("division by zero")
    if operator == "*" and whole:
        budgets.check_bits(a.bit_length() + b.bit_length())
    if operator == "/":
        return _quotient(a, b) if whole else a / b
    if operator == "%":
        return a - _quotient(a, b) * b if whole else _remainder(a, b)
    result = a + b if operator == "+" else a - b if operator == "-" else a * b
    if whole:
        budgets.check_bits(result.bit_length())
    return result


def _quotient(a: int, b: int) -> int:
    """Cut towards zero."""
    quotient = abs(a) // abs(b)
    return quotient if (a < 0) == (b < 0) else -quotient


def _remainder(a: Any, b: Any) -> Number:
    """The sign of the dividend, for floats and decimals."""
    return a % b if isinstance(a, Decimal) else math.fmod(a, b)


# --- what filters ask of their input


def whole_number(value: Any, what: str) -> int:
    """Return `value` as an int; raises ExpressionError naming `what` when it is none."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    raise ExpressionError(f"{what} must be a whole number, not a {type_name(value)}")


def plain_text(value: Any, what: str) -> str:
    """Return `value` when it is a text; raises ExpressionError naming `what` otherwise."""
    if isinstance(value, str):
        return value
    raise ExpressionError(f"{what} must be a text, not a {type_name(value)}")


def items_of(value: Any, what: str) -> list[Any]:
    """Return the items of a list; raises ExpressionError naming `what` for anything else."""
    if isinstance(value, list):
        return value
    if isinstance(value, tuple | set | frozenset):
        return list(value)
    raise ExpressionError(f"{what} must be a list, not a {type_name(value)}")
