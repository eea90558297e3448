"""Filters on lists and maps. None of them changes its input; each gives a new list or map."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cmp_to_key
from typing import Any

from levada.expr import budgets, values
from levada.expr.errors import ExpressionError
from levada.expr.frame import Frame
from levada.expr.registry import filter_
from levada.expr.taint import Secret


@filter_("first", taint="keep", cheap=True)
def first(value: Any) -> Any:
    """The first item of a list, or the first character of a text; null when there is none."""
    return _at_end(value, 0)


@filter_("last", taint="keep", cheap=True)
def last(value: Any) -> Any:
    """The last item of a list, or the last character of a text; null when there is none."""
    return _at_end(value, -1)


def _at_end(value: Any, index: int) -> Any:
    if value is None:
        return None
    if isinstance(value, str):
        char = value[index : index + 1 or None]
        return Secret(char) if type(value) is Secret else char
    items = list(value.values()) if isinstance(value, Mapping) else values.items_of(value, "the value")
    return items[index] if items else None


@filter_("length", cheap=True)
def length(value: Any) -> int:
    """How many items, keys or characters there are; 0 for null."""
    if value is None:
        return 0
    if isinstance(value, str | list | tuple | set | frozenset | Mapping):
        return len(value)
    raise ExpressionError(f"`length` counts a list, map or text, not a {values.type_name(value)}")


@filter_("keys", taint="keep")
def keys(value: Any) -> list[Any] | None:
    """The keys of a map, or the positions of a list."""
    if value is None:
        return None
    if isinstance(value, Mapping):
        return list(value)
    return list(range(len(values.items_of(value, "the value of `keys`"))))


@filter_("values", taint="keep")
def values_of(value: Any) -> list[Any] | None:
    """The values of a map."""
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise ExpressionError(f"`values` works on a map, not on a {values.type_name(value)}")
    return list(value.values())


@filter_("default", taint="keep", cheap=True)
def default(value: Any, default: Any) -> Any:
    """The value, or `default` when it is undefined, null or empty."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return default
    if isinstance(value, list | tuple | set | Mapping) and not value:
        return default
    return value


@filter_("join")
def join(frame: Frame, value: Any, separator: Any = "") -> str | None:
    """The texts of the items with a separator between them."""
    if value is None:
        return None
    parts = [values.text(item, frame) for item in values.items_of(value, "the value of `join`")]
    between = "" if separator is None else values.text(separator, frame)
    size = sum(map(len, parts)) + len(between) * max(0, len(parts) - 1)
    budgets.check_text(size)
    frame.charge(len(parts) // budgets.VALUES_PER_STEP + size // budgets.CHARS_PER_STEP)
    return between.join(parts)


@filter_("merge", taint="keep")
def merge(frame: Frame, value: Any, items: Any) -> Any:
    """Two lists one after the other, or two maps of which the second wins."""
    if value is None or items is None:
        return value if items is None else items
    if isinstance(value, Mapping) and isinstance(items, Mapping):
        budgets.check_items(len(value) + len(items))
        frame.charge((len(value) + len(items)) // budgets.VALUES_PER_STEP)
        return {**value, **items}
    if isinstance(value, Mapping):
        raise ExpressionError(f"`merge` joins a map with a map, not with a {values.type_name(items)}")
    left = values.items_of(value, "the value of `merge`")
    right = list(items.values()) if isinstance(items, Mapping) else values.items_of(items, "the argument of `merge`")
    budgets.check_items(len(left) + len(right))
    frame.charge((len(left) + len(right)) // budgets.VALUES_PER_STEP)
    return [*left, *right]


@filter_("slice")
def slice_(value: Any, fromIndex: Any = 0, toIndex: Any = None) -> Any:
    """The part of a list or text from one position up to, not including, another."""
    if value is None:
        return None
    whole = value if isinstance(value, str) else values.items_of(value, "the value of `slice`")
    start = values.whole_number(fromIndex, "`fromIndex`")
    end = len(whole) if toIndex is None else values.whole_number(toIndex, "`toIndex`")
    if not 0 <= start <= end <= len(whole):
        raise ExpressionError(f"`slice` from {start} to {end} does not fit a length of {len(whole)}")
    return str.__str__(whole)[start:end] if isinstance(whole, str) else whole[start:end]


def _sorted(frame: Frame, value: Any, *, descending: bool) -> list[Any] | None:
    if value is None:
        return None
    items = values.items_of(value, "the value")
    frame.charge(len(items) // budgets.VALUES_PER_STEP)

    def compare(a: Any, b: Any) -> int:
        result = values.order(a, b)
        if result is None:
            raise ExpressionError("a list with null in it cannot be sorted")
        return result

    return sorted(items, key=cmp_to_key(compare), reverse=descending)


@filter_("sort", taint="keep")
def sort(frame: Frame, value: Any) -> list[Any] | None:
    """The items in ascending order."""
    return _sorted(frame, value, descending=False)


@filter_("rsort", taint="keep")
def rsort(frame: Frame, value: Any) -> list[Any] | None:
    """The items in descending order."""
    return _sorted(frame, value, descending=True)


@filter_("reverse", taint="keep")
def reverse(value: Any) -> list[Any] | None:
    """The items from the last to the first."""
    return None if value is None else values.items_of(value, "the value of `reverse`")[::-1]


@filter_("chunk", taint="keep")
def chunk(value: Any, size: Any) -> list[list[Any]] | None:
    """The items in lists of `size`."""
    if value is None:
        return None
    items, by = values.items_of(value, "the value of `chunk`"), values.whole_number(size, "`size`")
    if by < 1:
        raise ExpressionError("`size` must be at least 1")
    return [items[at : at + by] for at in range(0, len(items), by)]


@filter_("distinct", taint="keep")
def distinct(frame: Frame, value: Any) -> list[Any] | None:
    """The items without repetitions."""
    if value is None:
        return None
    found: dict[Any, Any] = {}
    items = values.items_of(value, "the value of `distinct`")
    frame.charge(len(items) // budgets.VALUES_PER_STEP)
    for item in items:
        found.setdefault((values.type_name(item), values.text(item, frame)), item)
    return list(found.values())


@filter_("flatten", taint="keep")
def flatten(frame: Frame, value: Any) -> list[Any] | None:
    """The items of the lists inside the list, in one list."""
    if value is None:
        return None
    flat: list[Any] = []
    for item in values.items_of(value, "the value of `flatten`"):
        more = item if isinstance(item, list | tuple) else [item]
        budgets.check_items(len(flat) + len(more))
        frame.charge(1 + len(more) // budgets.VALUES_PER_STEP)
        flat.extend(more)
    return flat
