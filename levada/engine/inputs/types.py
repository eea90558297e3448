"""The types of inputs and flow outputs: from what was given (mostly text) to the value, or why not.

One converter per type in `CONVERTERS`. Dates, times and durations stay ISO text, as the API shows them; a date-time is
normalised to UTC with `Z`.
"""

import json
import math
import re
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, time
from typing import Any
from urllib.parse import urlsplit

import msgspec

from levada.expr import yaml_text
from levada.expr.errors import BudgetExceeded
from levada.expr.frame import Frame
from levada.model import durations
from levada.model.errors import UserError

MAX_DEPTH = 200
"""Levels of a JSON value; its text may be as long as the limit of a request."""

_EMAIL = re.compile(r"^[^@\s]+@[^@\s]+\.[^@\s]+$")
_LEGACY = {"BOOLEAN": "BOOL", "ENUM": "SELECT"}


class TypeMismatch(UserError):
    """The value does not have the type."""


def convert(type_: str, value: Any, item_type: str | None = None) -> Any:
    """Return `value` as a value of the type. Raises TypeMismatch with Kestra's words."""
    if value is None:
        return None
    name = _LEGACY.get(type_.upper(), type_.upper())
    if name == "ARRAY":
        return _array(value, item_type)
    converter = CONVERTERS.get(name)
    if converter is None:
        raise TypeMismatch(f"Invalid type `{type_}`")
    try:
        return converter(value)
    except TypeMismatch:
        raise
    except (ValueError, TypeError, UserError, ArithmeticError) as e:
        raise TypeMismatch(f"Expected `{name}` but received `{_shown(value)}`") from e


def _text(value: Any) -> str:
    return value if isinstance(value, str) else _shown(value)


def _int(value: Any) -> int:
    if isinstance(value, bool):
        raise TypeError("a boolean is no number")
    if isinstance(value, float) and not value.is_integer():
        raise ValueError("it has a fraction")
    return int(value.strip()) if isinstance(value, str) else int(value)


def _float(value: Any) -> float:
    if isinstance(value, bool):
        raise TypeError("a boolean is no number")
    number = float(value.strip()) if isinstance(value, str) else float(value)
    if not math.isfinite(number):
        raise ValueError("it is not finite")
    return number


def _bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    text = str(value).strip().lower()
    if text not in ("true", "false"):
        raise ValueError("it is neither true nor false")
    return text == "true"


def _datetime(value: Any) -> str:
    moment = datetime.fromisoformat(str(value).strip())
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _date(value: Any) -> str:
    return date.fromisoformat(str(value).strip()).isoformat()


def _time(value: Any) -> str:
    return time.fromisoformat(str(value).strip()).isoformat()


def _duration(value: Any) -> str:
    return durations.format(durations.parse(str(value).strip()))


def _json(value: Any) -> Any:
    return _storable(_parsed(value))


def _yaml(value: Any) -> Any:
    if not isinstance(value, str):
        return _storable(value)
    try:
        # With the limits of expressions: a few lines of YAML can stand for more than any memory holds.
        return yaml_text.load(value, Frame({}, None))
    except BudgetExceeded as e:
        raise TypeMismatch(f"Expected `YAML` within the limits, but {e}") from e


def _parsed(value: Any) -> Any:
    try:
        return json.loads(value) if isinstance(value, str) else value
    except RecursionError as e:
        raise ValueError("it is nested too deeply") from e


def _storable(value: Any) -> Any:
    """Refuse what the parser took and no store does: nesting without end, unpaired surrogates."""
    level, depth = [value], 0
    while level := [item for one in level for item in _items(one)]:
        depth += 1
        if depth > MAX_DEPTH:
            raise TypeMismatch(f"Expected a value of at most {MAX_DEPTH} levels, but it is nested more deeply")
    msgspec.json.encode(value)
    return value


def _items(value: Any) -> Iterable[Any]:
    match value:
        case dict():
            return value.values()
        case list():
            return value
    return ()


def _uri(value: Any) -> str:
    text = str(value)
    parts = urlsplit(text)
    if not parts.scheme or not (parts.netloc or parts.scheme in ("kestra", "file", "nsfile", "urn", "mailto")):
        raise ValueError("it is no URI")
    return text


def _email(value: Any) -> str:
    if not _EMAIL.match(str(value)):
        raise ValueError("it is no address")
    return str(value)


def _file(value: Any) -> str:
    text = str(value)
    if not re.match(r"^(kestra|nsfile|file)://", text):
        raise ValueError("it is no URI of a stored file")
    return text


def _list(value: Any) -> list[Any]:
    found = _storable(_parsed(value))
    if not isinstance(found, list | tuple):
        raise TypeError("it is no list")
    return list(found)


def _array(value: Any, item_type: str | None) -> list[Any]:
    try:
        found = _list(value)
    except (ValueError, TypeError) as e:
        raise TypeMismatch(f"Expected `ARRAY` with items of type `{item_type}` but received `{_shown(value)}`") from e
    if item_type is None:
        return found
    items = []
    for item in found:
        try:
            items.append(convert(item_type, item))
        except TypeMismatch as e:
            raise TypeMismatch(f"Unable to parse array element as `{item_type}` on `{_shown(item)}`") from e
    return items


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


CONVERTERS: dict[str, Callable[[Any], Any]] = {
    "STRING": _text,
    "SECRET": _text,
    "SELECT": _text,
    "INT": _int,
    "FLOAT": _float,
    "BOOL": _bool,
    "DATETIME": _datetime,
    "DATE": _date,
    "TIME": _time,
    "DURATION": _duration,
    "FILE": _file,
    "JSON": _json,
    "YAML": _yaml,
    "URI": _uri,
    "EMAIL": _email,
    "MULTISELECT": _list,
}
