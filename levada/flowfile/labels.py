"""Labels: a map or a list of {key, value}, with values as text.

Labels that begin with `system.` belong to the server. The one that a flow may carry itself is `system.readOnly`.
"""

from typing import Any, Final

from levada.flowfile.loader import Path
from levada.flowfile.node import kind_of
from levada.flowfile.problems import Report

SYSTEM: Final = "system."
_FLOW_MAY_SET: Final = frozenset({"system.readOnly"})

Labels = tuple[tuple[str, str], ...]


def read(value: Any, path: Path, report: Report, *, of_flow: bool = False) -> Labels:
    """Return (key, value) pairs in the order of the file; what is wrong is reported and left out."""
    if value is None:
        return ()
    if isinstance(value, dict):
        pairs = [(key, one, (*path, key)) for key, one in value.items()]
    elif isinstance(value, list):
        pairs = [pair for index, item in enumerate(value) for pair in _item(item, (*path, index), report)]
    else:
        report.error(path, f"must be a map or a list of key and value, but is {kind_of(value)}")
        return ()
    out = []
    for key, one, at in pairs:
        text = _value(one, at, report)
        if text is not None and _allowed(key, text, at, report, of_flow):
            out.append((key, text))
    return tuple(out)


def _item(item: Any, path: Path, report: Report) -> list[tuple[str, Any, Path]]:
    if not isinstance(item, dict) or set(item) - {"key", "value"} or not isinstance(item.get("key"), str | int):
        report.error(path, "a label in a list is written as a map with `key` and `value`")
        return []
    return [(str(item["key"]), item.get("value"), path)]


def _value(value: Any, path: Path, report: Report) -> str | None:
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
        case _:
            report.error(path, f"a label's value is a text, but is {kind_of(value)}")
            return None


def _allowed(key: str, value: str, path: Path, report: Report, of_flow: bool) -> bool:
    if not key or not value:
        report.error(path, "a label needs a key and a value; neither may be empty")
        return False
    if key.startswith(SYSTEM) and not (of_flow and key in _FLOW_MAY_SET):
        report.error(path, f"System labels can only be set by the server itself, offending label: {key}={value}")
        return False
    if not (key[0].islower() and all(char.isalpha() or char in "0123456789._-" for char in key)) and "{" not in key:
        report.warn(
            path, f"the label key `{key}` should begin with a small letter, then letters, digits, `.`, `_` or `-`"
        )
    return True
