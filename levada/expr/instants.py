"""Dates, times and durations: reading them from values, writing them the way Java's `toString` does.

A date-time without a zone is taken to be in the zone asked for, UTC where none is. Patterns and named formats live in
`date_format`; this module knows only ISO 8601.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from typing import Any, Final
from zoneinfo import ZoneInfo

from levada.expr.errors import ExpressionError

_OFFSET: Final = re.compile(r"(?:UTC|GMT|UT)?([+-])(\d{1,2})(?::?(\d{2}))?(?::?(\d{2}))?")
_DURATION: Final = re.compile(
    r"([-+]?)P(?:([-+]?\d+)D)?(?:T(?:([-+]?\d+)H)?(?:([-+]?\d+)M)?(?:([-+]?\d+(?:[.,]\d{1,9})?)S)?)?", re.IGNORECASE
)


def zone(name: str | None) -> tzinfo:
    """Return the time zone of an IANA name, `Z` or an offset like `+02:00`; UTC for None."""
    if name is None or name in ("Z", "UTC", "GMT", "UT", "Etc/UTC"):
        return UTC
    if offset := _OFFSET.fullmatch(name):
        sign, hours, minutes, seconds = offset.groups()
        total = timedelta(hours=int(hours), minutes=int(minutes or 0), seconds=int(seconds or 0))
        if total > timedelta(hours=18):
            raise ExpressionError(f"the zone offset `{name}` is beyond 18 hours")
        return timezone(-total if sign == "-" else total)
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError) as problem:
        raise ExpressionError(
            f"unknown time zone `{name}`; use a name such as Europe/Paris or an offset such as +02:00"
        ) from problem


def aware(value: datetime, where: tzinfo = UTC) -> datetime:
    """Return `value` with a zone: its own, else `where`."""
    return value if value.tzinfo is not None else value.replace(tzinfo=where)


def moment(value: Any, where: tzinfo = UTC) -> datetime:
    """Return the moment a value means: a date (at midnight), a date-time, ISO text or whole epoch seconds."""
    match value:
        case datetime():
            return aware(value, where)
        case date():
            return datetime(value.year, value.month, value.day, tzinfo=where)
        case bool():
            pass
        case int():
            try:
                return datetime.fromtimestamp(value, where)
            except (ValueError, OverflowError, OSError) as problem:
                raise ExpressionError(f"{value} is not a moment in epoch seconds") from problem
        case str():
            return parse(value, where)
    raise ExpressionError(f"a value of type {type(value).__name__} is not a date")


def parse(text: str, where: tzinfo = UTC) -> datetime:
    """Read ISO 8601 text: `2024-01-31`, `2024-01-31T10:00`, with fraction, with offset, with `[Zone/Name]` behind it."""
    plain, bracket, name = text.strip().partition("[")
    try:
        value = datetime.fromisoformat(_six_digits(plain))
    except ValueError as problem:
        raise ExpressionError(f"`{text[:80]}` is not a date in ISO form; give its form as existingFormat") from problem
    if bracket and value.tzinfo is not None:
        return value.astimezone(zone(name.rstrip("]")))
    return aware(value, where)


def _six_digits(text: str) -> str:
    """Cut a fraction to microseconds, the finest that Python keeps."""
    return re.sub(r"(\.\d{6})\d+", r"\1", text)


def java_text(value: date | time | timedelta) -> str:
    """Return what Java's `toString` gives for the same value."""
    match value:
        case datetime():
            return f"{value.date().isoformat()}T{_clock(value.timetz())}{_zone_text(value)}"
        case date():
            return value.isoformat()
        case time():
            return _clock(value)
    return duration_text(value)


def _clock(value: time) -> str:
    text = f"{value.hour:02}:{value.minute:02}"
    if value.second or value.microsecond:
        text += f":{value.second:02}"
    if value.microsecond:
        fraction = f"{value.microsecond:06}"
        text += "." + (fraction[:3] if fraction.endswith("000") else fraction)
    return text


def _zone_text(value: datetime) -> str:
    if value.tzinfo is None:
        return ""
    name = getattr(value.tzinfo, "key", None)
    return offset_text(value) + (f"[{name}]" if name and name != "UTC" else "")


def offset_text(value: datetime, *, zulu: bool = True, colon: bool = True) -> str:
    """Return the offset of a date-time: `+02:00`, or `Z` for zero where `zulu`."""
    seconds = int((value.utcoffset() or timedelta()).total_seconds())
    if seconds == 0 and zulu:
        return "Z"
    sign, seconds = ("-", -seconds) if seconds < 0 else ("+", seconds)
    between = ":" if colon else ""
    tail = f"{between}{seconds % 60:02}" if seconds % 60 else ""
    return f"{sign}{seconds // 3600:02}{between}{seconds // 60 % 60:02}{tail}"


def duration_text(value: timedelta) -> str:
    """Return an ISO 8601 duration of hours, minutes and seconds: `PT1M`, `PT36H`, `PT-1.5S`."""
    micros = value // timedelta(microseconds=1)
    sign, micros = ("-", -micros) if micros < 0 else ("", micros)
    hours, rest = divmod(micros, 3_600_000_000)
    minutes, rest = divmod(rest, 60_000_000)
    seconds, fraction = divmod(rest, 1_000_000)
    text = "PT" + (f"{sign}{hours}H" if hours else "") + (f"{sign}{minutes}M" if minutes else "")
    if seconds or fraction or text == "PT":
        text += f"{sign}{seconds}" + (f".{fraction:06}".rstrip("0") if fraction else "") + "S"
    return text


def parse_duration(text: str) -> timedelta:
    """Read an ISO 8601 duration of days, hours, minutes and seconds."""
    found = _DURATION.fullmatch(text.strip())
    if found is None or not any(found.groups()[1:]):
        raise ExpressionError(f"`{text[:80]}` is not a duration; write it like PT1H30M")
    sign, days, hours, minutes, seconds = found.groups()
    try:
        total = timedelta(
            days=int(days or 0), hours=int(hours or 0), minutes=int(minutes or 0),
            seconds=float((seconds or "0").replace(",", ".")),
        )  # fmt: skip
    except OverflowError as problem:
        raise ExpressionError(f"the duration `{text[:80]}` is too long") from problem
    return -total if sign == "-" else total
