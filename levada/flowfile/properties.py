"""Checking the properties of a task, trigger or condition against the class that declares them.

The classes are msgspec structs whose field types say what a property is *after* rendering. A text with markup may render to
anything, so it passes; everything else must already fit. Conversions that a worker does on rendered text anyway
(`"5"` for a number, a number for a text) are not refused here: refusing a flow that would run is worse than a late error.
"""

import re
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import inspect

from levada.flowfile.loader import Path
from levada.flowfile.node import choice_message, is_dynamic, kind_of
from levada.flowfile.problems import Report, nearest
from levada.model import durations

_NUMBER = re.compile(r"\s*[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?\s*", re.ASCII)

Struct = type[msgspec.Struct]


@lru_cache(maxsize=4096)
def fields_of(declared: Struct) -> dict[str, inspect.Field]:
    """Return the fields of a struct by their YAML name."""
    info = inspect.type_info(declared)
    assert isinstance(info, inspect.StructType)
    return {field.encode_name: field for field in info.fields}


def check(
    data: dict[str, Any], declared: Struct, path: Path, report: Report, *, skip: frozenset[str] = frozenset(), of: str
) -> None:
    """Report unknown, missing and ill-typed properties of `data`, leaving out the names in `skip`."""
    fields = fields_of(declared)
    for name, value in data.items():
        if name in skip:
            continue
        field = fields.get(name)
        if field is None:
            known = [*fields, *sorted(skip)]
            report.error((*path, name), f'Unrecognized field "{name}" of {of}{nearest(name, known)}')
        elif value is not None:
            _Checker(report).check(value, field.type, (*path, name))
    for name, field in fields.items():
        if field.required and name not in skip and data.get(name) is None:
            report.error((*path, name), "must not be null")


class _Checker:
    """One walk over a value. `_fits` collects mistakes in a list instead of the report while a union is tried."""

    def __init__(self, report: Report) -> None:
        self._report = report

    def check(self, value: Any, kind: inspect.Type, path: Path) -> None:
        for at, message in self._mistakes(value, kind, path):
            self._report.error(at, message)

    def _mistakes(self, value: Any, kind: inspect.Type, path: Path) -> list[tuple[Path, str]]:
        if isinstance(value, str) and is_dynamic(value):
            return []
        match kind:
            case inspect.Metadata():
                return self._mistakes(value, kind.type, path)
            case inspect.UnionType():
                return self._union(value, kind, path)
            case inspect.StructType():
                return self._struct(value, kind, path)
            case inspect.ListType() | inspect.SetType() | inspect.FrozenSetType() | inspect.VarTupleType():
                return self._list(value, kind, path)
            case inspect.DictType():
                return self._dict(value, kind, path)
            case _:
                message = _scalar(value, kind)
                return [(path, message)] if message else []

    def _list(
        self,
        value: Any,
        kind: inspect.ListType | inspect.SetType | inspect.FrozenSetType | inspect.VarTupleType,
        path: Path,
    ) -> list[tuple[Path, str]]:
        if isinstance(value, str) and value.lstrip().startswith("["):
            return []  # JSON text, read as a list once rendered
        if not isinstance(value, list):
            return [(path, f"must be a list, but is {kind_of(value)}")]
        if kind.min_length is not None and len(value) < kind.min_length:
            return [(path, "must not be empty")]
        out: list[tuple[Path, str]] = []
        for index, item in enumerate(value):
            out += self._mistakes(item, kind.item_type, (*path, index))
        return out

    def _dict(self, value: Any, kind: inspect.DictType, path: Path) -> list[tuple[Path, str]]:
        if isinstance(value, str) and value.lstrip().startswith("{"):
            return []  # JSON text, read as a map once rendered
        if not isinstance(value, dict):
            return [(path, f"must be a map, but is {kind_of(value)}")]
        out: list[tuple[Path, str]] = []
        for name, item in value.items():
            out += self._mistakes(item, kind.value_type, (*path, name))
        return out

    def _struct(self, value: Any, kind: inspect.StructType, path: Path) -> list[tuple[Path, str]]:
        if isinstance(value, str) and value.lstrip().startswith("{"):
            return []
        if not isinstance(value, dict):
            return [(path, f"must be a map, but is {kind_of(value)}")]
        out: list[tuple[Path, str]] = []
        fields = {field.encode_name: field for field in kind.fields}
        for name, item in value.items():
            field = fields.get(name)
            if field is not None:
                if item is not None:
                    out += self._mistakes(item, field.type, (*path, name))
            elif kind.forbid_unknown_fields and name != kind.tag_field:
                of = path[-1] if path and isinstance(path[-1], str) else kind.cls.__name__
                out.append(((*path, name), f'Unrecognized field "{name}" of {of}{nearest(name, fields)}'))
        for name, field in fields.items():
            if field.required and value.get(name) is None:
                out.append(((*path, name), "must not be null"))
        return out

    def _union(self, value: Any, kind: inspect.UnionType, path: Path) -> list[tuple[Path, str]]:
        if value is None:
            return []
        options = [option for option in kind.types if not isinstance(option, inspect.NoneType)]
        if isinstance(value, dict):
            tagged = _by_tag(value, options)
            if tagged is not None:
                return self._mistakes(value, tagged, path)
        attempts = [self._mistakes(value, option, path) for option in options]
        if not attempts or not all(attempts):
            return []
        # The option whose mistakes lie deepest is the one that was meant.
        deepest = max(attempts, key=lambda found: max(len(at) for at, _ in found))
        if len(attempts) == 1 or max(len(at) for at, _ in deepest) > len(path):
            return deepest
        return [(path, f"must be {' or '.join(dict.fromkeys(map(_name, options)))}, but is {kind_of(value)}")]


def _by_tag(value: dict[str, Any], options: list[inspect.Type]) -> inspect.Type | None:
    """Return the struct of a tagged union that the value names."""
    for option in options:
        if isinstance(option, inspect.StructType) and option.tag_field is not None:
            tag = value.get(option.tag_field)
            if tag is not None and str(tag) == str(option.tag):
                return option
    return None


def _scalar(value: Any, kind: inspect.Type) -> str | None:
    """Return what is wrong with a scalar, or None."""
    match kind:
        case inspect.StrType():
            return _text(value, kind)
        case inspect.BoolType():
            fits = isinstance(value, bool) or value in ("true", "false")
        case inspect.IntType() | inspect.FloatType():
            return _number(value, kind)
        case inspect.EnumType():
            options = [str(member.value) for member in kind.cls]
            return None if value in options else choice_message(value, options)
        case inspect.LiteralType():
            fits = value in kind.values or str(value) in map(str, kind.values)
            return None if fits else choice_message(value, [str(option) for option in kind.values])
        case inspect.TimeDeltaType():
            return _duration(value)
        case (
            inspect.DateTimeType() | inspect.DateType() | inspect.TimeType() | inspect.UUIDType() | inspect.BytesType()
        ):
            fits = isinstance(value, str)
        case inspect.NoneType():
            fits = value is None
        case _:
            return None  # Any, raw JSON, custom types: only the worker can tell
    return None if fits else f"must be {_name(kind)}, but is {kind_of(value)}"


def _text(value: Any, kind: inspect.StrType) -> str | None:
    if isinstance(value, list | dict):
        return f"must be a text, but is {kind_of(value)}"
    if not isinstance(value, str):
        return None
    if kind.min_length is not None and len(value) < kind.min_length:
        return "must not be empty" if kind.min_length == 1 else f"must have at least {kind.min_length} characters"
    if kind.max_length is not None and len(value) > kind.max_length:
        return f"must have at most {kind.max_length} characters"
    if kind.pattern is not None and re.search(kind.pattern, value) is None:
        return f'must match "{kind.pattern}"'
    return None


def _number(value: Any, kind: inspect.IntType | inspect.FloatType) -> str | None:
    if isinstance(value, str) and len(value) < 64 and _NUMBER.fullmatch(value):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"must be {_name(kind)}, but is {kind_of(value)}"
    if isinstance(kind, inspect.IntType) and value != int(value):
        return "must be a whole number"
    if kind.ge is not None and value < kind.ge:
        return f"must be greater than or equal to {kind.ge}"
    if kind.gt is not None and value <= kind.gt:
        return f"must be greater than {kind.gt}"
    if kind.le is not None and value > kind.le:
        return f"must be less than or equal to {kind.le}"
    if kind.lt is not None and value >= kind.lt:
        return f"must be less than {kind.lt}"
    return None


def _duration(value: Any) -> str | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return None
    if not isinstance(value, str):
        return f"must be a duration like PT30S, but is {kind_of(value)}"
    try:
        durations.parse(value)
    except durations.BadDuration as problem:
        return str(problem)
    return None


def _name(kind: inspect.Type) -> str:
    """Return what a YAML author would call the type."""
    match kind:
        case inspect.StrType():
            return "a text"
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType():
            return "a whole number"
        case inspect.FloatType():
            return "a number"
        case inspect.ListType() | inspect.SetType() | inspect.FrozenSetType() | inspect.VarTupleType():
            return "a list"
        case inspect.DictType() | inspect.StructType():
            return "a map"
        case inspect.TimeDeltaType():
            return "a duration like PT30S"
        case inspect.DateTimeType() | inspect.DateType() | inspect.TimeType():
            return "a date or time"
        case inspect.EnumType():
            return " or ".join(str(member.value) for member in kind.cls)
        case inspect.LiteralType():
            return " or ".join(str(option) for option in kind.values)
        case _:
            return "something else"
