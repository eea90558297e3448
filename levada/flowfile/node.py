"""Reading one map of a flow file: property by property, with every mistake reported and nothing dropped.

A `Node` is a map together with its path. Each `text`, `flag`, `integer` … call takes one property out of it; `finish` then
reports whatever nobody asked for as unknown, with the nearest known name. A wrong value is reported and read as the
default, so that reading goes on and finds the next mistake. `null` counts as not given, as in Kestra.
"""

from collections.abc import Collection, Iterable
from typing import Any

from levada.flowfile.loader import Path
from levada.flowfile.problems import Report, nearest
from levada.model import durations


def is_dynamic(text: str) -> bool:
    """Whether a text has markup: such a value is only known when the flow runs."""
    return "{{" in text or "{%" in text


def kind_of(value: Any) -> str:
    """Return what a YAML author would call the value."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a text"
        case list():
            return "a list"
        case _:
            return "a map"


class Node:
    """A map of the flow file being read."""

    __slots__ = ("_asked", "data", "path", "report")

    def __init__(self, data: Any, path: Path, report: Report) -> None:
        """Anything but a map is reported and read as an empty one."""
        if not isinstance(data, dict):
            if data is not None or path == ():
                report.error(path, f"must be a map, but is {kind_of(data)}")
            data = {}
        self.data: dict[str, Any] = data
        self.path = path
        self.report = report
        self._asked: set[str] = set()

    def at(self, name: str) -> Path:
        return (*self.path, name)

    def error(self, name: str, message: str) -> None:
        self.report.error(self.at(name), message)

    def get(self, name: str) -> Any:
        """Take a property out as it is written; None if it is not there."""
        self._asked.add(name)
        return self.data.get(name)

    def known(self, names: Iterable[str]) -> None:
        """Declare properties that somebody else reads."""
        self._asked.update(names)

    def required(self, name: str) -> bool:
        """Report the property as missing if it is, and return whether it is there."""
        self._asked.add(name)
        if self.data.get(name) is None:
            self.error(name, "must not be null")
            return False
        return True

    def text(self, name: str, *, required: bool = False) -> str | None:
        """Take out a text; numbers and booleans count as the text that they are written as."""
        if required and not self.required(name):
            return None
        value = self.get(name)
        if value is None or isinstance(value, str):
            return value
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, int | float):
            return str(value)
        self.error(name, f"must be a text, but is {kind_of(value)}")
        return None

    def flag(self, name: str, default: bool = False) -> bool:
        value = self.get(name)
        if value is None:
            return default
        if isinstance(value, bool):
            return value
        if value in ("true", "false"):
            return bool(value == "true")
        hint = "; this property is static, it cannot be an expression" if _has_markup(value) else ""
        self.error(name, f"must be true or false, but is {kind_of(value)}{hint}")
        return default

    def integer(self, name: str, *, minimum: int | None = None) -> int | None:
        value = self.get(name)
        if isinstance(value, str) and value.strip().lstrip("-").isdecimal() and len(value) < 20:
            value = int(value)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            self.error(name, f"must be a whole number, but is {kind_of(value)}")
            return None
        if minimum is not None and value < minimum:
            self.error(name, f"must be greater than or equal to {minimum}")
            return None
        return value

    def number(self, name: str, default: float) -> float:
        value = self.get(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.error(name, f"must be a number, but is {kind_of(value)}")
            return default
        return float(value)

    def duration(self, name: str) -> int | None:
        """Take out an ISO 8601 duration as microseconds; a bare number is seconds, as Kestra reads it."""
        value = self.get(name)
        if value is None:
            return None
        if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e12:
            return int(value * durations.SECOND)
        if not isinstance(value, str):
            self.error(name, f"must be a duration like PT30S, but is {kind_of(value)}")
            return None
        try:
            return durations.parse(value)
        except durations.BadDuration as problem:
            hint = "; this property is static, it cannot be an expression" if is_dynamic(value) else ""
            self.error(name, f"{problem}{hint}")
            return None

    def choice(self, name: str, options: Collection[str], default: str | None = None) -> str | None:
        value = self.get(name)
        if value is None:
            return default
        if isinstance(value, str) and value in options:
            return value
        self.error(name, choice_message(value, options))
        return default

    def mapping(self, name: str) -> dict[str, Any]:
        value = self.get(name)
        if value is None:
            return {}
        if not isinstance(value, dict):
            self.error(name, f"must be a map, but is {kind_of(value)}")
            return {}
        return value

    def sequence(self, name: str) -> list[Any]:
        value = self.get(name)
        if value is None:
            return []
        if not isinstance(value, list):
            self.error(name, f"must be a list, but is {kind_of(value)}")
            return []
        return value

    def nodes(self, name: str) -> Iterable["Node"]:
        """Take out a list of maps; yields only those items that are maps."""
        for index, item in enumerate(self.sequence(name)):
            if isinstance(item, dict):
                yield Node(item, (*self.path, name, index), self.report)
            else:
                self.report.error((*self.path, name, index), f"must be a map, but is {kind_of(item)}")

    def finish(self, of: str) -> None:
        """Report every property that nobody took out; `of` names the thing in the message."""
        for name in self.data:
            if name not in self._asked:
                hint = nearest(name, self._asked)
                self.report.error(self.at(name), f'Unrecognized field "{name}" of {of}{hint}')


def choice_message(value: Any, options: Collection[str]) -> str:
    """Return the words for a value that is none of the options."""
    listed = ", ".join(options)
    shown = f"`{value[:80]}`" if isinstance(value, str) else kind_of(value)
    hint = nearest(value, options) if isinstance(value, str) and len(options) > 6 else ""
    return f"must be one of {listed}, but is {shown}{hint}"


def _has_markup(value: Any) -> bool:
    return isinstance(value, str) and is_dynamic(value)
