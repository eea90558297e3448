"""Amazon Ion as text: written for `toIon`, read for `fromIon`.

Written are the values of the language; a date becomes a text with the annotation that Kestra gives it. Read is all of Ion
text: annotations are dropped, symbols become texts, timestamps become texts in ISO form, blobs become base64 texts.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final, NoReturn

from levada.expr import budgets, instants
from levada.expr.errors import ExpressionError, position
from levada.expr.taint import Secret, derive

_PLAIN_SYMBOL: Final = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")
_KEYWORDS: Final = frozenset({"null", "true", "false", "nan"})
_ESCAPES: Final = {
    "0": "\0", "a": "\a", "b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", "v": "\v",
    '"': '"', "'": "'", "?": "?", "\\": "\\", "/": "/", "\n": "",
}  # fmt: skip
_ESCAPED: Final = re.compile(r'[\x00-\x1f"\\\x7f]')
_SHORT: Final = {"\n": "\\n", "\t": "\\t", "\r": "\\r", '"': '\\"', "\\": "\\\\"}


def dump(value: Any) -> str:
    """Return the Ion text of a value that has been measured; a Secret when a secret is inside."""
    return str(derive(_written(value), (value,))) if not isinstance(value, Secret) else Secret(_written(value))


def _written(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int():
            return str(int(value))
        case float():
            return _float(value)
        case Decimal():
            return f"{value:f}" if "." in f"{value:f}" else f"{value:f}."
        case str():
            return _quoted(value)
        case Mapping():
            return "{" + ",".join(f"{_symbol(str(key))}:{_written(item)}" for key, item in value.items()) + "}"
        case list() | tuple() | set() | frozenset():
            return "[" + ",".join(map(_written, value)) + "]"
        case datetime():
            name = "ZonedDateTime" if value.tzinfo else "LocalDateTime"
            zone = getattr(value.tzinfo, "key", None) or ("UTC" if value.tzinfo and not value.utcoffset() else None)
            text = value.isoformat().replace("+00:00", "Z") + (f"[{zone}]" if zone else "")
            return f"{name}::{_quoted(text)}"
        case date():
            return f"LocalDate::{_quoted(value.isoformat())}"
        case time():
            return f"LocalTime::{_quoted(value.isoformat())}"
        case timedelta():
            return f"Duration::{_quoted(instants.duration_text(value))}"
        case bytes():
            return "{{" + base64.b64encode(value).decode() + "}}"
    raise ExpressionError(f"a value of type {type(value).__name__} cannot be written as Ion")


def _float(value: float) -> str:
    if math.isnan(value):
        return "nan"
    if math.isinf(value):
        return "+inf" if value > 0 else "-inf"
    text = repr(value)
    return text if "e" in text else f"{text}e0"


def _quoted(text: str) -> str:
    return '"' + _ESCAPED.sub(lambda found: _SHORT.get(found.group(), f"\\x{ord(found.group()):02x}"), text) + '"'


def _symbol(name: str) -> str:
    if _PLAIN_SYMBOL.fullmatch(name) and name not in _KEYWORDS:
        return name
    return "'" + _quoted(name)[1:-1].replace('\\"', '"').replace("'", "\\'") + "'"


def load(text: str, most: int | None = None) -> list[Any]:
    """Return the values of an Ion text, only the first `most` where given. Raises ExpressionError."""
    reader = _Reader(text)
    found: list[Any] = []
    while (most is None or len(found) < most) and reader.more():
        found.append(reader.value(0))
        budgets.check_items(len(found))
    return found


_SKIP: Final = re.compile(r"(?:\s|//[^\n]*(?:\n|$)|/\*.*?\*/)*", re.DOTALL)
_TIMESTAMP: Final = re.compile(
    r"\d{4}(?:-\d{2}(?:-\d{2})?)?(?:T(?:\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:\d{2}))?)?"
)
_INTEGER: Final = re.compile(r"-?(?:0[xX][0-9a-fA-F_]+|0[bB][01_]+|\d[\d_]*)")
_BROKEN: Final = re.compile(r"-?\d[\d_]*(?:\.[\d_]*)?(?:[eEdD][+-]?\d+)?")
_WORD: Final = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")
_OPERATOR: Final = re.compile(r"[!#%&*+\-./;<=>?@^`|~]+")
_QUOTED: Final = re.compile(r"'((?:[^'\\\n]|\\.)*)'(?!'')", re.DOTALL)
_LONG: Final = re.compile(r"'''((?:[^'\\]|\\.|'(?!''))*)'''", re.DOTALL)
_TEXT: Final = re.compile(r'"((?:[^"\\\n]|\\.)*)"', re.DOTALL)
_ESCAPE: Final = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|\r\n|.)", re.DOTALL)


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def fail(self, message: str) -> NoReturn:
        line, column = position(self.text, self.at)
        raise ExpressionError(f"the text is not Ion: {message} at line {line}, column {column} of it")

    def more(self) -> bool:
        found = _SKIP.match(self.text, self.at)
        self.at = found.end() if found else self.at
        return self.at < len(self.text)

    def take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self.text, self.at)
        if found:
            self.at = found.end()
        return found

    def value(self, depth: int) -> Any:
        budgets.check_depth(depth)
        if not self.more():
            self.fail("a value is missing")
        char = self.text[self.at]
        if char == '"':
            return self.string()
        if char == "{":
            return self.lob() if self.text.startswith("{{", self.at) else self.struct(depth)
        if char == "[":
            return self.sequence("]", depth, separated=True)
        if char == "(":
            return self.sequence(")", depth, separated=False)
        if char.isdigit() or (char == "-" and self.text[self.at + 1 : self.at + 2].isdigit()):
            return self.number()
        return self.word(depth)

    def string(self) -> str:
        found = self.take(_TEXT)
        if found is None:
            self.fail("a text is never closed")
        return self.unescaped(found.group(1))

    def unescaped(self, text: str) -> str:
        def character(found: re.Match[str]) -> str:
            escape = found.group(1)
            if escape[0] in "xuU" and len(escape) > 1:
                code = int(escape[1:], 16)
                return chr(code) if code < 0x110000 else self.fail("an escape is beyond Unicode")
            return (
                "" if escape == "\r\n" else _ESCAPES[escape] if escape in _ESCAPES else self.fail("an unknown escape")
            )

        return _ESCAPE.sub(character, text) if "\\" in text else text

    def number(self) -> Any:
        timestamp = _TIMESTAMP.match(self.text, self.at)
        if timestamp and ("-" in timestamp.group() or timestamp.group().endswith("T")):
            self.at = timestamp.end()
            return timestamp.group().rstrip("T")
        whole, broken = _INTEGER.match(self.text, self.at), _BROKEN.match(self.text, self.at)
        if whole and (broken is None or whole.end() >= broken.end()):
            self.at = whole.end()
            digits = whole.group().replace("_", "")
            if len(digits) > budgets.MAX_INT_BITS // 4:
                self.fail("a number has too many digits")
            return int(digits, 0) if digits.lstrip("-")[:2].lower() in ("0x", "0b") else int(digits)
        if broken is None:
            self.fail("a number cannot be read")
        self.at = broken.end()
        return float(broken.group().replace("_", "").lower().replace("d", "e"))

    def word(self, depth: int) -> Any:
        """Read what begins with a letter or a quote: keywords, symbols, long texts, annotations."""
        if long := self.take(_LONG):
            parts = [long.group(1)]
            while self.more() and (long := self.take(_LONG)):
                parts.append(long.group(1))
            return "".join(map(self.unescaped, parts))
        quoted = self.take(_QUOTED)
        name = self.unescaped(quoted.group(1)) if quoted else self.symbol()
        self.more()
        if self.text.startswith("::", self.at):
            self.at += 2
            return self.value(depth + 1)
        if quoted:
            return name
        return self.keyword(name)

    def symbol(self) -> str:
        found = self.take(_WORD) or self.take(_OPERATOR)
        if found is None:
            self.fail(f"unexpected `{self.text[self.at]}`")
        return found.group()

    def keyword(self, name: str) -> Any:
        if name == "null":
            if self.text.startswith(".", self.at):
                self.at += 1
                self.symbol()
            return None
        if name in ("+", "-") and self.text.startswith("inf", self.at):
            self.at += 3
            return math.inf if name == "+" else -math.inf
        return {"true": True, "false": False, "nan": math.nan}.get(name, name)

    def lob(self) -> str:
        end = self.text.find("}}", self.at)
        if end < 0:
            self.fail("a blob is never closed")
        inner = self.text[self.at + 2 : end].strip()
        if inner.startswith(("'", '"')):
            self.at += 2
            self.more()
            found = self.value(0)
            self.more()
            if not self.text.startswith("}}", self.at):
                self.fail("a clob is never closed")
            self.at += 2
            return str(found)
        self.at = end + 2
        try:
            return base64.b64encode(base64.b64decode("".join(inner.split()), validate=True)).decode()
        except binascii.Error:
            return self.fail("a blob is not base64")

    def struct(self, depth: int) -> dict[str, Any]:
        self.at += 1
        found: dict[str, Any] = {}
        while self.open("}"):
            if found and not self.separated("}"):
                break
            key = self.field()
            found[key] = self.value(depth + 1)
        self.at += 1
        return found

    def field(self) -> str:
        if self.text.startswith('"', self.at):
            name = self.string()
        elif long := self.take(_LONG):
            name = self.unescaped(long.group(1))
        elif quoted := self.take(_QUOTED):
            name = self.unescaped(quoted.group(1))
        else:
            name = self.symbol()
        self.more()
        if not self.text.startswith(":", self.at):
            self.fail("`:` is missing")
        self.at += 1
        return name

    def sequence(self, close: str, depth: int, *, separated: bool) -> list[Any]:
        self.at += 1
        found: list[Any] = []
        while self.open(close):
            if separated and found and not self.separated(close):
                break
            found.append(self.value(depth + 1))
        self.at += 1
        return found

    def open(self, close: str) -> bool:
        """Tell whether the bracket is still open; the text must not end inside of it."""
        if not self.more():
            self.fail(f"`{close}` is missing")
        return not self.text.startswith(close, self.at)

    def separated(self, close: str) -> bool:
        """Read the comma between two items; return whether another item follows it."""
        if not self.text.startswith(",", self.at):
            self.fail(f"`,` or `{close}` is missing")
        self.at += 1
        return self.open(close)
