"""Filters on numbers."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any, Final

from levada.expr import budgets, decimal_format, values
from levada.expr.errors import ExpressionError
from levada.expr.registry import filter_

_WHOLE: Final = {"INT": 31, "LONG": 63, "BIGINTEGER": budgets.MAX_INT_BITS}
_BROKEN: Final = frozenset({"FLOAT", "DOUBLE", "BIGDECIMAL"})
MAX_EXPONENT: Final = 1000


@filter_("abs")
def absolute(value: Any) -> Any:
    """The number without its sign."""
    if value is None:
        return None
    if not values.is_number(value):
        raise ExpressionError(f"`abs` needs a number, not a {values.type_name(value)}")
    return abs(value)


@filter_("number")
def number(value: Any, type: Any = None) -> Any:
    """The number that a text holds; `type` is INT, LONG, BIGINTEGER, FLOAT, DOUBLE or BIGDECIMAL."""
    if value is None:
        return None
    if type is not None and type not in _WHOLE and type not in _BROKEN:
        raise ExpressionError(f"`type` must be one of {', '.join([*_WHOLE, *sorted(_BROKEN)])}")
    if not isinstance(value, str):
        if not values.is_number(value):
            raise ExpressionError(f"`number` reads a text, not a {values.type_name(value)}")
        value = values.scalar_text(value)
    return _whole(value, type) if type in _WHOLE else _broken(value, type) if type in _BROKEN else _any(value)


def _whole(text: str, type: str) -> int:
    plain = text.strip()
    digits = plain[1:] if plain[:1] in ("+", "-") else plain
    try:
        if len(digits) > budgets.MAX_INT_BITS // 3:
            raise ExpressionError("the number has too many digits")
        base = 16 if digits[:2].lower() == "0x" else 10
        found = int(plain, base)
    except ValueError as problem:
        raise ExpressionError(f"`{text[:40]}` is not a whole number") from problem
    if abs(found).bit_length() > _WHOLE[type] and found != -(1 << _WHOLE[type]):
        raise ExpressionError(f"`{text[:40]}` is too large for {type}")
    return found


def _broken(text: str, type: str) -> float | Decimal:
    try:
        if type == "BIGDECIMAL":
            found = Decimal(text.strip())
            if not found.is_finite() or len(text) > MAX_EXPONENT or abs(found.adjusted()) > MAX_EXPONENT:
                raise ExpressionError(f"`{text[:40]}` is out of range")
            return found
        return float(text.strip())
    except (ValueError, InvalidOperation) as problem:
        raise ExpressionError(f"`{text[:40]}` is not a number") from problem


def _any(text: str) -> int | float | Decimal:
    plain = text.strip()
    if plain[-1:] in ("L", "l"):
        return _whole(plain[:-1], "LONG")
    if plain[-1:] in ("F", "f", "D", "d") and plain[:2].lower() != "0x":
        return _broken(plain[:-1], "DOUBLE")
    try:
        return _whole(plain, "BIGINTEGER")
    except ExpressionError:
        return _broken(plain, "DOUBLE")


@filter_("numberFormat", "numberformat")
def number_format(value: Any, format: Any = "#,##0.###", locale: Any = None) -> str | None:
    """The number by a pattern such as `#,##0.00` or `0.#%`."""
    if value is None:
        return None
    if not values.is_number(value):
        raise ExpressionError(f"`numberFormat` needs a number, not a {values.type_name(value)}")
    return decimal_format.write(value, values.plain_text(format, "`format`"), locale)


_INT_LIMIT: Final = 1 << 31
_LONG_LIMIT: Final = 1 << 63


@filter_("className")
def class_name(value: Any) -> str | None:
    """The name that Java has for the type of the value, for flows that compare it."""
    match value:
        case None:
            return None
        case bool():
            return "java.lang.Boolean"
        case int():
            size = "Integer" if -_INT_LIMIT <= value < _INT_LIMIT else "Long"
            return f"java.lang.{size}" if -_LONG_LIMIT <= value < _LONG_LIMIT else "java.math.BigInteger"
        case float():
            return "java.lang.Double"
        case Decimal():
            return "java.math.BigDecimal"
        case str():
            return "java.lang.String"
    return {"map": "java.util.LinkedHashMap", "list": "java.util.ArrayList", "date": "java.time.ZonedDateTime"}.get(
        values.type_name(value), "java.lang.Object"
    )
