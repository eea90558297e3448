"""The tests behind `is` and `is not`. `defined` is special: the compiler asks it even where the value does not exist."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from levada.expr import json_text, values
from levada.expr.errors import ExpressionError
from levada.expr.registry import test


@test("defined")
def is_defined(value: Any) -> bool:
    """Exists and is not null."""
    return value is not None


@test("null")
def is_null(value: Any) -> bool:
    """Is null."""
    return value is None


@test("empty")
def is_empty(value: Any) -> bool:
    """Is null, a text of white space only, or a list or map without items."""
    if value is None:
        return True
    if isinstance(value, str):
        return not value.strip()
    return isinstance(value, list | tuple | set | frozenset | Mapping) and not len(value)


@test("even")
def is_even(value: Any) -> bool:
    """Is an even whole number."""
    return values.whole_number(value, "the value of `is even`") % 2 == 0


@test("odd")
def is_odd(value: Any) -> bool:
    """Is an odd whole number."""
    return values.whole_number(value, "the value of `is odd`") % 2 == 1


@test("iterable")
def is_iterable(value: Any) -> bool:
    """Is a list."""
    return isinstance(value, list | tuple | set | frozenset)


@test("map")
def is_map(value: Any) -> bool:
    """Is a map."""
    return isinstance(value, Mapping)


@test("string")
def is_string(value: Any) -> bool:
    """Is a text."""
    return isinstance(value, str)


@test("number")
def is_number(value: Any) -> bool:
    """Is a number."""
    return values.is_number(value)


@test("json")
def is_json(value: Any) -> bool:
    """Is a text that holds valid JSON."""
    if value is None:
        return False
    try:
        json_text.load(values.plain_text(value, "the value of `is json`"), "the value")
    except ExpressionError:
        return False
    return True
