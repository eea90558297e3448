"""Date patterns of Java: `yyyy-MM-dd'T'HH:mm:ss.SSSXXX`, read and written, and the named formats.

A pattern is cut into elements once and cached. Writing gives the text of each element; reading matches the elements from
left to right without backtracking: next to another number a number takes exactly as many digits as it has letters, else as
many as there are. Sections in square brackets are optional. Digits finer than microseconds are written as zeros, for Python
keeps no finer time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Final

from levada.expr import instants
from levada.expr.errors import ExpressionError
from levada.expr.locale_names import Names, names_of

MAX_PATTERN_CHARS: Final = 200
NAMED: Final = {
    "iso": "yyyy-MM-dd'T'HH:mm:ss.SSSSSSXXX",
    "iso_sec": "yyyy-MM-dd'T'HH:mm:ssXXX",
    "sql": "yyyy-MM-dd HH:mm:ss.SSSSSS",
    "sql_seq": "yyyy-MM-dd HH:mm:ss",
    "iso_date_time": "yyyy-MM-dd'T'HH:mm:ss~XXX'['VV']'",
    "iso_zoned_date_time": "yyyy-MM-dd'T'HH:mm:ss~XXX'['VV']'",
    "iso_offset_date_time": "yyyy-MM-dd'T'HH:mm:ss~XXX",
    "iso_local_date_time": "yyyy-MM-dd'T'HH:mm:ss~",
    "iso_date": "yyyy-MM-ddXXX",
    "iso_local_date": "yyyy-MM-dd",
    "iso_time": "HH:mm:ss~XXX",
    "iso_offset_time": "HH:mm:ss~XXX",
    "iso_local_time": "HH:mm:ss~",
    "iso_ordinal_date": "yyyy-DDDXXX",
    "iso_week_date": "YYYY-'W'ww-eXXX",
    "rfc_1123_date_time": "EEE, d MMM yyyy HH:mm:ss xx",
    "basic_iso_date": "yyyyMMddxx",
    "full": "EEEE, MMMM d, yyyy 'at' h:mm:ss a zzzz",
    "long": "MMMM d, yyyy 'at' h:mm:ss a z",
    "medium": "MMM d, yyyy, h:mm:ss a",
    "short": "M/d/yy, h:mm a",
}
_LETTERS: Final = frozenset("GuyYQqMLwWdDEecFaBhHkKmsSAnNVzOXxZ")
_NUMERIC: Final = frozenset("uyYdDHhkKmsSAnNwW")


@dataclass(frozen=True, slots=True)
class Element:
    """One piece of a pattern: a run of one letter, or (letter empty) text; `optional` holds a bracketed section."""

    letter: str
    count: int = 0
    text: str = ""
    optional: tuple[Element, ...] = ()


def write(value: datetime, pattern: str, locale: str | None = None) -> str:
    """Return a date-time by a pattern or named format. Raises ExpressionError for a pattern that means nothing."""
    if pattern == "iso_instant":
        shown = value.astimezone(UTC)
        return f"{shown:%Y-%m-%dT%H:%M:%S}{_fraction(shown)}Z"
    names = names_of(locale)
    return "".join(_written(element, value, names) for element in elements(NAMED.get(pattern, pattern)))


def read(text: str, pattern: str, where: tzinfo, locale: str | None = None) -> datetime:
    """Return the date-time that `text` means by a pattern; missing parts are midnight, the first day, the zone `where`."""
    found = _Reading(text, names_of(locale))
    if not found.sequence(elements(NAMED.get(pattern, pattern))) or found.at != len(text):
        raise ExpressionError(f"`{text[:80]}` does not have the form `{pattern}`")
    try:
        return found.result(where)
    except (ValueError, OverflowError) as problem:
        raise ExpressionError(f"`{text[:80]}` is not a date: {problem}") from problem


@lru_cache(512)
def elements(pattern: str) -> tuple[Element, ...]:
    """Cut a pattern into its elements. Raises ExpressionError for letters without meaning."""
    if len(pattern) > MAX_PATTERN_CHARS:
        raise ExpressionError(f"the date pattern is longer than {MAX_PATTERN_CHARS} characters")
    stack: list[list[Element]] = [[]]
    at = 0
    while at < len(pattern):
        char = pattern[at]
        end = at + 1
        if char == "'":
            end, text = _quoted(pattern, at)
            stack[-1].append(Element("", text=text))
        elif char == "[":
            stack.append([])
        elif char == "]" and len(stack) > 1:
            section = tuple(stack.pop())
            stack[-1].append(Element("[", optional=section))
        elif char.isascii() and char.isalpha():
            while end < len(pattern) and pattern[end] == char:
                end += 1
            if char not in _LETTERS:
                raise ExpressionError(
                    f"the date pattern `{pattern}` has a `{char}`, which means nothing; quote text like 'at'"
                )
            stack[-1].append(Element(char, end - at))
        else:
            stack[-1].append(Element("~") if char == "~" else Element("", text=char))
        at = end
    if len(stack) > 1:
        raise ExpressionError(f"the date pattern `{pattern}` has a `[` without `]`")
    return tuple(stack[0])


def _quoted(pattern: str, at: int) -> tuple[int, str]:
    """Read quoted text; two quotes are one, inside and outside."""
    if pattern.startswith("''", at):
        return at + 2, "'"
    text, at = "", at + 1
    while (end := pattern.find("'", at)) >= 0:
        text += pattern[at:end]
        if not pattern.startswith("''", end):
            return end + 1, text
        text, at = text + "'", end + 2
    raise ExpressionError(f"the date pattern `{pattern}` has a quote that is never closed")


# --- writing


def _fraction(value: datetime) -> str:
    return f".{value.microsecond:06}".rstrip("0") if value.microsecond else ""


def _written(element: Element, value: datetime, names: Names) -> str:
    letter, count = element.letter, element.count
    if letter == "":
        return element.text
    if letter == "[":
        return "".join(_written(inner, value, names) for inner in element.optional)
    if letter == "~":
        return _fraction(value)
    if letter == "S":
        return f"{value.microsecond:06}".ljust(count, "0")[:count]
    if letter in "uyY":
        year = value.isocalendar().year if letter == "Y" else value.year
        return f"{year % 100:02}" if count == 2 else str(year).zfill(count)
    if letter in "ML" or (letter in "EecQq" and count >= 3):
        return _named(element, value, names)
    if letter in "aGB":
        return names.half(value.hour) if letter == "a" else "AD" if letter == "G" else names.half(value.hour)
    if letter in "VzOXxZ":
        return _zone(element, value)
    return str(_number(letter, value)).zfill(count)


def _number(letter: str, value: datetime) -> int:
    midnight = value.replace(hour=0, minute=0, second=0, microsecond=0)
    match letter:
        case "d":
            return value.day
        case "D":
            return value.timetuple().tm_yday
        case "H":
            return value.hour
        case "k":
            return value.hour or 24
        case "K":
            return value.hour % 12
        case "h":
            return value.hour % 12 or 12
        case "m":
            return value.minute
        case "s":
            return value.second
        case "n":
            return value.microsecond * 1000
        case "A":
            return (value - midnight) // timedelta(milliseconds=1)
        case "N":
            return (value - midnight) // timedelta(microseconds=1) * 1000
        case "w":
            return value.isocalendar().week
        case "W":
            return (value.day + value.replace(day=1).weekday() - 1) // 7 + 1
        case "e" | "c":
            return value.isoweekday()
        case "F":
            return (value.day - 1) // 7 + 1
        case "Q" | "q":
            return (value.month - 1) // 3 + 1
    raise ExpressionError(f"the date pattern letter `{letter}` is not supported")


def _named(element: Element, value: datetime, names: Names) -> str:
    letter, count = element.letter, element.count
    if letter in "Qq":
        quarter = (value.month - 1) // 3 + 1
        return f"Q{quarter}" if count == 3 else ("1st", "2nd", "3rd", "4th")[quarter - 1] + " quarter"
    if letter in "ML":
        if count < 3:
            return str(value.month).zfill(count)
        full, short = names.months[value.month - 1], names.short_months[value.month - 1]
    else:
        full, short = names.days[value.weekday()], names.short_days[value.weekday()]
    return full if count == 4 else full[:1] if count == 5 else short


def _zone(element: Element, value: datetime) -> str:
    letter, count = element.letter, element.count
    key = getattr(value.tzinfo, "key", None) or instants.offset_text(value)
    if letter == "V":
        return key
    if letter == "z":
        name = value.tzname() or key
        return key if count == 4 and not name.startswith("UTC") else name
    if letter == "O" or (letter == "Z" and count == 4):
        offset = instants.offset_text(value, zulu=False)
        return "GMT" if offset == "+00:00" else f"GMT{offset}"
    if letter == "Z" and count == 5:
        return instants.offset_text(value)
    if letter == "Z":
        return instants.offset_text(value, zulu=False, colon=False)
    text = instants.offset_text(value, zulu=letter == "X", colon=count in (3, 5))
    return text[:3] if count == 1 and text.endswith("00") else text


# --- reading


_OFFSET: Final = re.compile(r"Z|[+-]\d{2}(?::?\d{2})?(?::?\d{2})?")
_REGION: Final = re.compile(r"[A-Za-z][A-Za-z0-9_+\-/:]*|[+-]\d{2}:?\d{2}")
_DIGITS: Final = re.compile(r"\d+")


def _is_numeric(element: Element) -> bool:
    return element.letter in _NUMERIC or (element.letter in "MLecQq" and element.count < 3)


class _Reading:
    """What has been read so far: a position in the text and the fields found."""

    def __init__(self, text: str, names: Names) -> None:
        self.text = text
        self.names = names
        self.at = 0
        self.fields: dict[str, int] = {}
        self.zone: tzinfo | None = None

    def sequence(self, parts: tuple[Element, ...]) -> bool:
        for index, element in enumerate(parts):
            following = parts[index + 1] if index + 1 < len(parts) else None
            packed = following is not None and following.letter != "" and _is_numeric(following)
            if not self.element(element, packed=packed):
                return False
        return True

    def element(self, element: Element, *, packed: bool) -> bool:
        letter, count = element.letter, element.count
        if letter == "":
            return self.literal(element.text)
        if letter == "[":
            saved = self.at, dict(self.fields), self.zone
            if not self.sequence(element.optional):
                self.at, self.fields, self.zone = saved
            return True
        if letter == "~":
            return not self.text.startswith(".", self.at) or (self.literal(".") and self.fraction(9))
        if letter == "S":
            return self.fraction(count)
        if letter in "ML" and count >= 3:
            return self.name("M", self.names.months, self.names.short_months)
        if letter in "Eec" and count >= 3:
            return self.name("E", self.names.days, self.names.short_days)
        if letter == "E":
            return self.name("E", self.names.days, self.names.short_days)
        if letter == "a":
            return self.name("a", self.names.halves, ("AM", "PM"))
        if letter in "XxZO":
            return self.offset()
        if letter in "Vz":
            return self.region()
        return self.number(letter, count, packed=packed)

    def literal(self, text: str) -> bool:
        if not self.text.startswith(text, self.at):
            return False
        self.at += len(text)
        return True

    def number(self, letter: str, count: int, *, packed: bool) -> bool:
        found = _DIGITS.match(self.text, self.at)
        if found is None:
            return False
        width = count if packed or (count == 2 and letter in "uyY") else min(len(found.group()), max(count, 19))
        digits = found.group()[:width]
        if len(digits) < (max(1, count)):
            return False
        value = int(digits)
        if letter in "uyY" and count == 2:
            value += 2000
        key = {"u": "y", "Y": "y", "L": "M"}.get(letter, letter)
        self.fields[key] = value
        self.at += len(digits)
        return True

    def fraction(self, count: int) -> bool:
        found = _DIGITS.match(self.text, self.at)
        if found is None:
            return False
        digits = found.group()[:count]
        self.fields["S"] = int(digits.ljust(6, "0")[:6])
        self.at += len(digits)
        return True

    def name(self, key: str, *tables: tuple[str, ...]) -> bool:
        rest = self.text[self.at :].casefold()
        for table in tables:
            for index, name in enumerate(table):
                if rest.startswith(name.casefold()):
                    self.fields[key] = index + 1
                    self.at += len(name)
                    return True
        return False

    def offset(self) -> bool:
        if self.text.startswith("GMT", self.at):
            self.at += 3
        found = _OFFSET.match(self.text, self.at)
        if found is None:
            return False
        self.zone = instants.zone(found.group())
        self.at = found.end()
        return True

    def region(self) -> bool:
        found = _REGION.match(self.text, self.at)
        if found is None:
            return False
        self.zone = instants.zone(found.group())
        self.at = found.end()
        return True

    def result(self, where: tzinfo) -> datetime:
        fields = self.fields
        year = fields.get("y", 1970)
        if "D" in fields:
            day = date(year, 1, 1) + timedelta(days=fields["D"] - 1)
        elif "w" in fields:
            day = date.fromisocalendar(year, fields["w"], fields.get("e", fields.get("E", 1)))
        else:
            day = date(year, fields.get("M", 1), fields.get("d", 1))
        hour = fields.get("H", fields.get("k", 0) % 24)
        if "h" in fields or "K" in fields:
            hour = fields.get("h", fields.get("K", 0)) % 12 + (12 if fields.get("a") == 2 else 0)
        clock = (hour, fields.get("m", 0), fields.get("s", 0), fields.get("S", 0))
        return datetime(day.year, day.month, day.day, *clock, tzinfo=self.zone or where)
