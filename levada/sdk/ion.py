"""Reading Amazon Ion text, the row format of Kestra, as plain JSON data.

Kestra stores rows as one Ion struct per line. Levada writes JSON lines, which are Ion too, and reads both. Everything
that has a meaning in JSON is read: structs with bare, quoted and single-quoted names, lists, strings, long strings,
numbers (decimals become floats), booleans and typed nulls. Timestamps and symbols become text, blobs base64 text;
annotations are dropped. S-expressions are refused.
"""

import json
import re
from typing import Any, Final

from levada.model.errors import UserError

MAX_DEPTH: Final = 100

_SPACE = re.compile(r"(?:\s|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
_TIMESTAMP = re.compile(r"\d{4}(?:-\d{2}(?:-\d{2})?)?T?(?:\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:\d{2}))?")
_NUMBER = re.compile(r"[+-]?(?:inf|nan|0[xX][0-9a-fA-F_]+|0[bB][01_]+|\d[\d_]*(?:\.[\d_]*)?(?:[eEdD][+-]?\d+)?)")
_WORD = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_SYMBOL = re.compile(r"'(?:[^'\\]|\\.)*'", re.DOTALL)
_LONG = re.compile(r"'''(.*?)'''", re.DOTALL)
_BLOB = re.compile(r"\{\{\s*([A-Za-z0-9+/=\s]*?)\s*\}\}")
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|x[0-9a-fA-F]{2}|\r?\n|.)", re.DOTALL)
_ESCAPED = {
    "n": "\n",
    "t": "\t",
    "r": "\r",
    "0": "\0",
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "v": "\v",
    "\n": "",
    "\r\n": "",
}


class BadIon(UserError):
    """The text is not Ion."""


def parse(text: str) -> Any:
    """Return the one value that `text` holds. Raises BadIon, saying where."""
    reader = _Reader(text)
    value = reader.value(0)
    reader.skip()
    if reader.at != len(text):
        raise reader.wrong("the end")
    return value


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def wrong(self, expected: str) -> BadIon:
        found = self.text[self.at : self.at + 20]
        return BadIon(f"expected {expected} at character {self.at + 1}, found {found!r}")

    def skip(self) -> None:
        found = _SPACE.match(self.text, self.at)
        assert found is not None, "the pattern also matches nothing"
        self.at = found.end()

    def take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self.text, self.at)
        if found is not None:
            self.at = found.end()
        return found

    def starts(self, token: str) -> bool:
        return self.text.startswith(token, self.at)

    def value(self, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise BadIon(f"values are nested deeper than {MAX_DEPTH}")
        self.skip()
        if self.starts("{{"):
            return self.blob()
        if self.starts("{"):
            return self.struct(depth)
        if self.starts("["):
            return self.sequence(depth)
        if self.starts('"') or self.starts("'"):
            text, is_symbol = self.quoted()
            return self.value(depth + 1) if is_symbol and self.annotates() else text
        return self.bare(depth)

    def bare(self, depth: int) -> Any:
        """Read a word, a timestamp or a number."""
        word = self.take(_WORD)
        if word is not None:
            if word.group() == "null":
                self.take(re.compile(r"\.\w+"))
                return None
            if self.annotates():
                return self.value(depth + 1)
            return {"true": True, "false": False, "nan": None}.get(word.group(), word.group())
        stamp = _TIMESTAMP.match(self.text, self.at)
        number = _NUMBER.match(self.text, self.at)
        if stamp is not None and (number is None or stamp.end() > number.end()):
            self.at = stamp.end()
            return stamp.group()
        if number is None:
            raise self.wrong("a value")
        self.at = number.end()
        return _number(number.group().replace("_", ""))

    def annotates(self) -> bool:
        before = self.at
        self.skip()
        if self.starts("::"):
            self.at += 2
            return True
        self.at = before
        return False

    def quoted(self) -> tuple[str, bool]:
        """Read a string or a quoted symbol; the flag tells which."""
        if self.starts("'''"):
            parts = []
            while (part := self.take(_LONG)) is not None:
                parts.append(_unescape(part.group(1)))
                self.skip()
            if not parts:
                raise self.wrong("a closed long string")
            return "".join(parts), False
        is_symbol = self.starts("'")
        found = self.take(_SYMBOL if is_symbol else _STRING)
        if found is None:
            raise self.wrong("a closed string")
        return _unescape(found.group()[1:-1]), is_symbol

    def struct(self, depth: int) -> dict[str, Any]:
        self.at += 1
        members: dict[str, Any] = {}
        while True:
            self.skip()
            if self.starts("}"):
                self.at += 1
                return members
            if self.starts('"') or self.starts("'"):
                name = self.quoted()[0]
            elif (word := self.take(_WORD)) is not None:
                name = word.group()
            else:
                raise self.wrong("a name or }")
            self.skip()
            if not self.starts(":"):
                raise self.wrong("a colon")
            self.at += 1
            members[name] = self.value(depth + 1)
            self.comma("}")

    def sequence(self, depth: int) -> list[Any]:
        self.at += 1
        items: list[Any] = []
        while True:
            self.skip()
            if self.starts("]"):
                self.at += 1
                return items
            items.append(self.value(depth + 1))
            self.comma("]")

    def comma(self, end: str) -> None:
        self.skip()
        if self.starts(","):
            self.at += 1
        elif not self.starts(end):
            raise self.wrong(f"a comma or {end}")

    def blob(self) -> str:
        found = self.take(_BLOB)
        if found is None:
            raise self.wrong("a blob")
        return re.sub(r"\s", "", found.group(1))


def _number(text: str) -> int | float | None:
    digits = text.lstrip("+-").lower()
    if digits in ("inf", "nan"):
        return None
    if digits[:2] in ("0x", "0b"):
        return int(text, 0)
    if re.search(r"[.eEdD]", text):
        return float(text.lower().replace("d", "e"))
    return int(text)


def _unescape(text: str) -> str:
    if "\\" not in text:
        return text
    if '"' not in text and "'" not in text and "\n" not in text:
        try:
            return str(json.loads(f'"{text}"'))
        except ValueError:
            pass  # an escape that JSON does not have
    return _ESCAPE.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    code = found.group(1)
    if code[0] in "uUx" and len(code) > 1:
        return chr(int(code[1:], 16))
    return _ESCAPED.get(code, code)
