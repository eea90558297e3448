"""What a typed input value must satisfy beside its type: patterns, bounds, allowed values. The words are Kestra's."""

import json
from collections.abc import Callable
from datetime import date, datetime, time
from typing import Any

import re2

from levada.model import durations
from levada.model.flow import Input


def violation(declared: Input, value: Any, allowed: list[Any] | None) -> str | None:
    """Return why a typed value is refused, or None. `allowed` are the values of SELECT and MULTISELECT."""
    kind = declared.type.upper()
    if allowed is not None:
        return _outside(declared, kind, value, allowed)
    check = _CHECKS.get(kind)
    return check(declared.properties, value) if check is not None else None


def _pattern(p: dict[str, Any], value: Any) -> str | None:
    pattern = p.get("validator")
    if pattern and not re2.fullmatch(pattern, value):
        return f"it must match the pattern `{pattern}`"
    return None


def _number(p: dict[str, Any], value: Any) -> str | None:
    if p.get("min") is not None and value < p["min"]:
        return f"it must be more than `{p['min']}`"
    if p.get("max") is not None and value > p["max"]:
        return f"it must be less than `{p['max']}`"
    return None


def _duration(p: dict[str, Any], value: Any) -> str | None:
    given = durations.parse(value)
    if p.get("min") is not None and given < durations.parse(str(p["min"])):
        return f"It must be more than `{durations.format(durations.parse(str(p['min'])))}`"
    if p.get("max") is not None and given > durations.parse(str(p["max"])):
        return f"It must be less than `{durations.format(durations.parse(str(p['max'])))}`"
    return None


def _moment(parse: Callable[[str], Any], show: Callable[[Any], str]) -> Callable[[dict[str, Any], Any], str | None]:
    def check(p: dict[str, Any], value: Any) -> str | None:
        given = parse(str(value))
        if p.get("after") is not None and given < parse(str(p["after"])):
            return f"it must be after `{show(parse(str(p['after'])))}`"
        if p.get("before") is not None and given > parse(str(p["before"])):
            return f"it must be before `{show(parse(str(p['before'])))}`"
        return None

    return check


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _short_time(value: time) -> str:
    """As Java prints a local time: seconds only when they are not zero."""
    return value.isoformat() if value.second or value.microsecond else value.isoformat(timespec="minutes")


def _outside(declared: Input, kind: str, value: Any, allowed: list[Any]) -> str | None:
    if declared.properties.get("allowCustomValue"):
        return None
    texts = [_text(item) for item in allowed]
    given = value if kind == "MULTISELECT" and isinstance(value, list) else [value]
    if all(_text(item) in texts for item in given):
        return None
    return f"it must match the values `[{', '.join(texts)}]`"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _extension(p: dict[str, Any], value: Any) -> str | None:
    allowed = p.get("allowedFileExtensions")
    if allowed and not any(str(value).lower().endswith(str(e).lower()) for e in allowed):
        return f"it must have one of the extensions `[{', '.join(map(str, allowed))}]`"
    return None


def _schema(p: dict[str, Any], value: Any) -> str | None:
    if not p.get("jsonSchema"):
        return None
    import jsonschema_rs

    schema = p["jsonSchema"]
    parsed = json.loads(schema) if isinstance(schema, str) else schema
    for error in jsonschema_rs.validator_for(parsed).iter_errors(value):
        return f"it does not fit the JSON schema: {error.message}"
    return None


_CHECKS: dict[str, Callable[[dict[str, Any], Any], str | None]] = {
    "STRING": _pattern,
    "SECRET": _pattern,
    "INT": _number,
    "FLOAT": _number,
    "DURATION": _duration,
    "DATE": _moment(date.fromisoformat, date.isoformat),
    "TIME": _moment(time.fromisoformat, _short_time),
    "DATETIME": _moment(_instant, lambda moment: moment.isoformat().replace("+00:00", "Z")),
    "FILE": _extension,
    "JSON": _schema,
}
