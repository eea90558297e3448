"""Filters on dates: writing them by a pattern, adding to them, and epoch numbers.

A value may be a date, a date-time, epoch seconds, or a text in ISO form (or in the form that `existingFormat` gives). A
value without a zone is in `timeZone`, one with a zone is converted to it; without `timeZone` it is UTC.
"""

from __future__ import annotations

import calendar
from datetime import date as Date
from datetime import datetime, timedelta, tzinfo
from typing import Any, Final

from levada.expr import date_format, instants, values
from levada.expr.errors import ExpressionError
from levada.expr.registry import filter_

_STEPS: Final = {
    "NANOS": timedelta(0), "MICROS": timedelta(microseconds=1), "MILLIS": timedelta(milliseconds=1),
    "SECONDS": timedelta(seconds=1), "MINUTES": timedelta(minutes=1), "HOURS": timedelta(hours=1),
    "HALF_DAYS": timedelta(hours=12), "DAYS": timedelta(days=1), "WEEKS": timedelta(weeks=1),
}  # fmt: skip
_MONTHS: Final = {"MONTHS": 1, "YEARS": 12, "DECADES": 120, "CENTURIES": 1200}


def _optional(value: Any, what: str) -> str | None:
    return None if value is None else values.plain_text(value, what)


def as_moment(value: Any, where: tzinfo, existing: str | None) -> datetime:
    """Return the date-time a filtered value means; a date without time counts as noon, as in Kestra."""
    if isinstance(value, Date) and not isinstance(value, datetime):
        return datetime(value.year, value.month, value.day, 12, tzinfo=where)
    if isinstance(value, str) and existing is not None:
        return date_format.read(value, existing, where)
    return instants.moment(value, where)


def formatted(value: datetime, pattern: Any, where: tzinfo, locale: Any) -> str:
    """Write a date-time in a zone by a pattern, named format, or the default `iso`."""
    chosen = "iso" if pattern is None else values.plain_text(pattern, "`format`")
    return date_format.write(value.astimezone(where), chosen, _optional(locale, "`locale`"))


@filter_("date")
def date(
    value: Any, format: Any = None, timeZone: Any = None, existingFormat: Any = None, locale: Any = None
) -> str | None:
    """The date by a pattern such as `yyyy-MM-dd`, or a named format such as `iso` or `sql`."""
    if value is None:
        return None
    where = instants.zone(_optional(timeZone, "`timeZone`"))
    moment = as_moment(value, where, _optional(existingFormat, "`existingFormat`"))
    return formatted(moment, format, where, locale)


@filter_("dateAdd")
def date_add(
    value: Any,
    amount: Any,
    unit: Any,
    format: Any = None,
    timeZone: Any = None,
    existingFormat: Any = None,
    locale: Any = None,
) -> str | None:
    """The date plus an amount of a unit such as DAYS or MONTHS (less when negative)."""
    if value is None:
        return None
    where = instants.zone(_optional(timeZone, "`timeZone`"))
    moment = as_moment(value, where, _optional(existingFormat, "`existingFormat`"))
    number = values.whole_number(amount, "`amount`")
    return formatted(shift(moment, number, values.plain_text(unit, "`unit`")), format, where, locale)


def shift(moment: datetime, amount: int, unit: str) -> datetime:
    """Return a date-time moved by whole units; days and longer keep the time of day, months keep within the month."""
    try:
        if unit in _MONTHS:
            months = moment.year * 12 + moment.month - 1 + amount * _MONTHS[unit]
            year, month = months // 12, months % 12 + 1
            return moment.replace(year=year, month=month, day=min(moment.day, calendar.monthrange(year, month)[1]))
        if unit in ("DAYS", "WEEKS"):
            return moment + amount * _STEPS[unit]
        if unit == "NANOS":
            return _elapsed(moment, timedelta(microseconds=amount // 1000))
        if unit in _STEPS:
            return _elapsed(moment, amount * _STEPS[unit])
    except (ValueError, OverflowError, calendar.IllegalMonthError) as problem:
        raise ExpressionError(f"{amount} {unit} lead out of the calendar") from problem
    raise ExpressionError(f"unknown unit `{unit[:40]}`; use one of {', '.join([*_STEPS, *_MONTHS])}")


def _elapsed(moment: datetime, step: timedelta) -> datetime:
    """Add real time: an hour stays an hour where clocks change."""
    return (moment.astimezone(instants.zone(None)) + step).astimezone(moment.tzinfo)


def _epoch(value: Any, timeZone: Any, existingFormat: Any) -> timedelta:
    where = instants.zone(_optional(timeZone, "`timeZone`"))
    return as_moment(value, where, _optional(existingFormat, "`existingFormat`")) - instants.moment(0)


@filter_("timestamp")
def timestamp(value: Any, timeZone: Any = None, existingFormat: Any = None) -> int | None:
    """Seconds since 1970."""
    return None if value is None else _epoch(value, timeZone, existingFormat) // timedelta(seconds=1)


@filter_("timestampMilli")
def timestamp_milli(value: Any, timeZone: Any = None, existingFormat: Any = None) -> int | None:
    """Milliseconds since 1970."""
    return None if value is None else _epoch(value, timeZone, existingFormat) // timedelta(milliseconds=1)


@filter_("timestampMicro")
def timestamp_micro(value: Any, timeZone: Any = None, existingFormat: Any = None) -> int | None:
    """Kestra's odd microseconds: whole seconds since 1970 in nanoseconds, plus the microseconds of the second."""
    if value is None:
        return None
    seconds, rest = divmod(_epoch(value, timeZone, existingFormat), timedelta(seconds=1))
    return seconds * 1_000_000_000 + rest // timedelta(microseconds=1)


@filter_("timestampNano")
def timestamp_nano(value: Any, timeZone: Any = None, existingFormat: Any = None) -> int | None:
    """Nanoseconds since 1970."""
    return None if value is None else _epoch(value, timeZone, existingFormat) // timedelta(microseconds=1) * 1000
