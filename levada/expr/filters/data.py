"""Filters that write data as text, and jq."""

from __future__ import annotations

from typing import Any

from levada.expr import ion, jq_program, json_text, values, yaml_text
from levada.expr.frame import Frame
from levada.expr.registry import filter_


@filter_("toJson")
def to_json(frame: Frame, value: Any) -> str:
    """The value as JSON."""
    return json_text.dump(value, frame)


@filter_("json")
def json_legacy(frame: Frame, value: Any) -> str:
    """The value as JSON; the older name of toJson."""
    return json_text.dump(value, frame)


@filter_("toIon")
def to_ion(frame: Frame, value: Any) -> str:
    """The value as Ion text."""
    json_text.measure(value, frame)
    return ion.dump(value)


@filter_("yaml")
def yaml(frame: Frame, value: Any) -> str | None:
    """The value as YAML."""
    return None if value is None else yaml_text.dump(value, frame)


@filter_("jq", heavy=True)
def jq(frame: Frame, value: Any, expression: Any) -> list[Any] | None:
    """The list of all results of a jq program."""
    if value is None:
        return None
    return jq_program.run(values.plain_text(expression, "`expression`"), value, frame)
