"""The `::{…}::` protocol: how a process hands outputs, metrics and log lines to Levada through its standard output.

A line that is wholly `::{json}::` is taken out of the log and read. The object may have `outputs` (a map, merged over all
lines), `metrics` ([{name, type, value, tags}], timers in seconds) and `logs` ([{level, message}]). Several objects may
stand on one line. What looks like the protocol and cannot be read stays in the log, and a warning says why.
"""

import json
from typing import Any

import msgspec

from levada.expr.instants import parse_duration
from levada.model.errors import UserError

LEVELS = frozenset({"TRACE", "DEBUG", "INFO", "WARN", "ERROR"})
METRICS = frozenset({"counter", "timer", "gauge"})
_decode = json.JSONDecoder().raw_decode


class Unreadable(UserError):
    """A line looks like the protocol but cannot be read."""


class Metric(msgspec.Struct, frozen=True):
    kind: str
    name: str
    #: Milliseconds for timers.
    value: float
    tags: dict[str, str]


class Message(msgspec.Struct, frozen=True):
    """What one line said."""

    outputs: dict[str, Any]
    metrics: list[Metric]
    logs: list[tuple[str, str]]


def looks_like_markup(line: str) -> bool:
    return line.startswith("::{") and line.rstrip().endswith("}::")


def read(line: str) -> Message:
    """Return what the line says. Raises Unreadable."""
    message = Message({}, [], [])
    for found in _objects(line.strip()):
        outputs = found.get("outputs")
        if outputs is not None:
            if not isinstance(outputs, dict):
                raise Unreadable("`outputs` must be a map")
            message.outputs.update(outputs)
        message.metrics.extend(_metric(entry) for entry in _list(found, "metrics"))
        message.logs.extend(_log(entry) for entry in _list(found, "logs"))
    return message


def _objects(line: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    at = 0
    while at < len(line):
        if not line.startswith("::{", at):
            raise Unreadable(f"`::{{` was expected at column {at + 1}")
        try:
            value, end = _decode(line, at + 2)
        except (ValueError, RecursionError) as problem:
            raise Unreadable(f"the JSON cannot be read: {problem}") from problem
        if not line.startswith("::", end):
            raise Unreadable(f"`::` was expected at column {end + 1}")
        found.append(value)
        at = end + 2
        while at < len(line) and line[at].isspace():
            at += 1
    return found


def _list(found: dict[str, Any], name: str) -> list[dict[str, Any]]:
    entries = found.get(name) or []
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise Unreadable(f"`{name}` must be a list of objects")
    return entries


def _metric(entry: dict[str, Any]) -> Metric:
    kind, name, value = str(entry.get("type", "counter")).lower(), entry.get("name"), entry.get("value")
    if not name or kind not in METRICS:
        raise Unreadable(f"a metric needs a `name` and a `type` of {', '.join(sorted(METRICS))}")
    tags = entry.get("tags") or {}
    if not isinstance(tags, dict):
        raise Unreadable("`tags` of a metric must be a map")
    return Metric(kind, str(name), _amount(kind, value), {str(key): str(text) for key, text in tags.items()})


def _amount(kind: str, value: Any) -> float:
    if isinstance(value, str) and kind == "timer" and value.upper().startswith("P"):
        return parse_duration(value).total_seconds() * 1000
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise Unreadable("`value` of a metric must be a number")
    try:
        number = float(value)
    except ValueError as problem:
        raise Unreadable(f"`value` of a metric must be a number, not {value!r}") from problem
    return number * 1000 if kind == "timer" else number


def _log(entry: dict[str, Any]) -> tuple[str, str]:
    level = str(entry.get("level", "INFO")).upper()
    return (level if level in LEVELS else "INFO"), str(entry.get("message", ""))
