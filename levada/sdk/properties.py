"""From the rendered properties of a task to an instance of its class.

Rendering turns every expression into text, so a property that is declared as number, boolean, list, map or duration often
arrives as text. `convert` reads such text as what the class declares (`"3"` as 3, `"true"` as True, `"[1, 2]"` as a
list, `"PT5M"` as a timedelta, a number as text where text is declared) and builds the instance. It never guesses: what
does not fit raises `BadProperty`, which names the property by its path, what was expected and what was there.

The worker and `levada.sdk.testing` use the same code, so a plugin test sees what a flow sees.
"""

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from functools import lru_cache
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

from levada.expr.instants import parse_duration
from levada.expr.taint import Secret, reveal
from levada.model.errors import UserError
from levada.sdk.task import Task

Declared = TypeVar("Declared", bound=msgspec.Struct)
Render = Callable[[Any], Awaitable[Any]]

#: Durations in Kestra may also be written in weeks, months and years of fixed length.
_CALENDAR = re.compile(r"^P(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?$", re.IGNORECASE)
_SHOWN_CHARS = 80
_PATH = re.compile(r" - at `\$\.?(.*)`$")
_FIELD = re.compile(r"(missing required|contains unknown) field `([^`]*)`")


class BadProperty(UserError):
    """A property of a task has a value of the wrong type."""


async def build(cls: type[Task], properties: Mapping[str, Any], render: Render) -> Task:
    """Render all properties but those in `cls.RAW` and return the task. Raises BadProperty and what `render` raises."""
    rendered = {}
    for name, value in properties.items():
        if name in cls.RAW:
            rendered[name] = value
        else:
            rendered[name] = await render_property(name, value, render)
    return convert(cls, rendered)


async def render_property(name: str, value: Any, render: Render) -> Any:
    """Render one property; an error says which property it was."""
    try:
        return await render(value)
    except UserError as problem:
        problem.add_note(f"in property `{name}`")
        raise


def convert(cls: type[Declared], values: Mapping[str, Any], *, name: str | None = None) -> Declared:
    """Return `cls` made of rendered values. `name` is how messages call it (default: its TYPE or its name)."""
    plain = {key: value for key, value in reveal(values).items() if value is not None or key in _nullable(cls)}
    title = name or str(getattr(cls, "TYPE", cls.__name__))
    try:
        return msgspec.convert(_fit(plain, _shape(cls), ""), cls, strict=False)
    except msgspec.ValidationError as problem:
        raise BadProperty(_explain(str(problem), plain, title, secret=_holds_secret(values))) from problem


@lru_cache(maxsize=2048)
def _shape(cls: type[msgspec.Struct]) -> inspect.Type:
    return inspect.type_info(cls)


@lru_cache(maxsize=2048)
def _nullable(cls: type[msgspec.Struct]) -> frozenset[str]:
    """Names of the properties that may be null; for the others null in a flow means not given."""
    shape = _shape(cls)
    assert isinstance(shape, inspect.StructType)
    return frozenset(field.encode_name for field in shape.fields if _accepts(field.type, inspect.NoneType))


def _fit(value: Any, shape: inspect.Type, path: str) -> Any:
    """Return `value` changed from text (or to text) where that is what `shape` asks for; other values as they are."""
    if isinstance(shape, inspect.UnionType):
        return _fit_union(value, shape, path)
    if isinstance(shape, inspect.StructType):
        return _fit_struct(value, shape, path)
    if isinstance(shape, inspect.DictType):
        value = _json(value, dict)
        if isinstance(value, dict):
            return {key: _fit(item, shape.value_type, f"{path}.{key}") for key, item in value.items()}
    elif isinstance(shape, inspect.ListType | inspect.SetType | inspect.VarTupleType):
        value = _json(value, list)
        if isinstance(value, list):
            return [_fit(item, shape.item_type, f"{path}[{index}]") for index, item in enumerate(value)]
    elif isinstance(shape, inspect.StrType):
        return _text(value)
    elif isinstance(shape, inspect.TimeDeltaType):
        return _duration(value, path)
    elif isinstance(shape, inspect.BoolType | inspect.IntType | inspect.FloatType) and isinstance(value, str):
        return value.strip()
    elif isinstance(shape, inspect.EnumType | inspect.LiteralType):
        return _choice(value, shape)
    return value


def _fit_struct(value: Any, shape: inspect.StructType, path: str) -> Any:
    value = _json(value, dict)
    if not isinstance(value, dict):
        return value
    types = {field.encode_name: field.type for field in shape.fields}
    return {
        key: _fit(item, types[key], f"{path}.{key}" if path else key) if key in types else item
        for key, item in value.items()
    }


def _fit_union(value: Any, shape: inspect.UnionType, path: str) -> Any:
    """Leave alone what one member takes as it is; else use the first member that a conversion fits."""
    kinds = tuple(type(member) for member in shape.types)
    if value is None or inspect.AnyType in kinds:
        return value
    if isinstance(value, str):
        if inspect.StrType in kinds:
            return value
        if not value.strip() and inspect.NoneType in kinds:
            return None
    for member in shape.types:
        if isinstance(value, dict) and isinstance(member, inspect.StructType | inspect.DictType):
            return _fit(value, member, path)
        if isinstance(value, list) and isinstance(member, inspect.ListType | inspect.SetType | inspect.VarTupleType):
            return _fit(value, member, path)
        if isinstance(value, bool) and isinstance(member, inspect.BoolType):
            return value
        if type(value) in (int, float) and isinstance(member, inspect.IntType | inspect.FloatType):
            return value
    for member in shape.types:
        if not isinstance(member, inspect.NoneType):
            fitted = _fit(value, member, path)
            if fitted is not value:
                return fitted
    return value


def _accepts(shape: inspect.Type, kind: type[inspect.Type]) -> bool:
    if isinstance(shape, inspect.UnionType):
        return any(_accepts(member, kind) for member in shape.types)
    return isinstance(shape, kind | inspect.AnyType)


def _json(value: Any, kind: type) -> Any:
    """Read text that holds a JSON value of `kind`."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text[:1] != ("{" if kind is dict else "["):
        return value
    try:
        read = json.loads(text)
    except ValueError:
        return value
    return read if isinstance(read, kind) else value


def _text(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    return value


def _duration(value: Any, path: str) -> Any:
    if isinstance(value, timedelta):
        return value
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return value
    if not isinstance(value, str):
        return timedelta(seconds=value)
    found = _CALENDAR.fullmatch(value.strip())
    if found is not None and any(found.groups()):
        years, months, weeks, days = (int(part or 0) for part in found.groups())
        return timedelta(days=365 * years + 30 * months + 7 * weeks + days)
    try:
        return parse_duration(value)
    except UserError as problem:
        raise BadProperty(f"property `{path}`: {problem}") from problem


def _choice(value: Any, shape: inspect.EnumType | inspect.LiteralType) -> Any:
    """Accept the name of a choice in any case, as Kestra's enumerations do."""
    if not isinstance(value, str):
        return value
    choices = shape.values if isinstance(shape, inspect.LiteralType) else [item.value for item in shape.cls]
    if value in choices:
        return value
    return next((item for item in choices if isinstance(item, str) and item.upper() == value.upper()), value)


def _explain(message: str, values: Any, title: str, *, secret: bool) -> str:
    """Turn msgspec's message into one that names the property and shows the value."""
    where = _PATH.search(message)
    path = where.group(1) if where else ""
    what = message[: where.start()] if where else message
    field = _FIELD.search(what)
    if field is not None:
        name = f"{path}.{field.group(2)}" if path else field.group(2)
        kind = "is required" if field.group(1).startswith("missing") else "does not exist"
        return f"property `{name}` of {title} {kind}"
    found = _at(values, path)
    shown = "" if secret or found is _ABSENT else f" (the value is {_show(found)})"
    return f"property `{path}` of {title}: {what[:1].lower()}{what[1:]}{shown}" if path else f"{title}: {what}"


_ABSENT = object()


def _at(values: Any, path: str) -> Any:
    """Return what stands at a path like `a.b[0].c`, or _ABSENT where it cannot be followed."""
    for name, index in re.findall(r"([^.\[\]]+)|\[(\d+)\]", path):
        try:
            values = values[name] if name else values[int(index)]
        except (KeyError, IndexError, TypeError):
            return _ABSENT
    return values


def _show(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN_CHARS else text[: _SHOWN_CHARS - 1] + "…"


def _holds_secret(values: Any) -> bool:
    if isinstance(values, Secret):
        return True
    if isinstance(values, Mapping):
        return any(map(_holds_secret, values.values()))
    return isinstance(values, list | tuple) and any(map(_holds_secret, values))
