"""Functions that read and make data: JSON, YAML, Ion, ranges, extremes, the context itself."""

from __future__ import annotations

from typing import Any

from levada.expr import ion as ion_text
from levada.expr import json_text, operations, values, yaml_text
from levada.expr.errors import ExpressionError
from levada.expr.frame import Frame
from levada.expr.registry import function


def _from_json(frame: Frame, json: Any) -> Any:
    if json is None:
        return None
    if not isinstance(json, str | bytes):
        raise ExpressionError(f"fromJson reads a text, not a {values.type_name(json)}; the value is data already")
    return json_text.load(json, "the text")


@function("fromJson")
def from_json(frame: Frame, json: Any) -> Any:
    """The value that a JSON text holds."""
    return _from_json(frame, json)


@function("json")
def json_legacy(frame: Frame, json: Any) -> Any:
    """The value that a JSON text holds; the older name of fromJson."""
    return _from_json(frame, json)


@function("range")
def range_(start: Any, end: Any, increment: Any = 1) -> list[Any]:
    """A list of whole numbers, or letters, from start to end, both included."""
    return operations.span(start, end, increment)


def _extreme(args: tuple[Any, ...], sign: int, name: str) -> Any:
    items = values.items_of(args[0], f"the argument of `{name}`") if len(args) == 1 else list(args)
    best: Any = None
    for item in items:
        if item is None:
            continue
        if best is None or (values.order(item, best) or 0) * sign > 0:
            best = item
    return best


@function("max", taint="keep")
def maximum(*values: Any) -> Any:
    """The greatest of the arguments, or of one list."""
    return _extreme(values, 1, "max")


@function("min", taint="keep")
def minimum(*values: Any) -> Any:
    """The least of the arguments, or of one list."""
    return _extreme(values, -1, "min")


@function("yaml")
def yaml(frame: Frame, yaml: Any) -> Any:
    """The value that a YAML text holds."""
    return None if yaml is None else yaml_text.load(values.plain_text(yaml, "`yaml`"), frame)


@function("fromIon")
def from_ion(frame: Frame, ion: Any, allRows: Any = False) -> Any:
    """The first value of an Ion text, or with `allRows=true` the list of all of them."""
    if ion is None:
        return None
    rows = ion_text.load(values.plain_text(ion, "`ion`"), None if allRows is True else 1)
    json_text.measure(rows, frame)
    return rows if allRows is True else (rows[0] if rows else None)
