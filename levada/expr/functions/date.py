"""The present moment, and questions about dates.

The questions look at the date as it is written (`2025-01-06T00:30:00+02:00` is a Monday), without converting it to any zone.
"""

from __future__ import annotations

import calendar
from datetime import date as Date
from datetime import datetime, timedelta
from typing import Any, Final

from levada.expr import instants, values
from levada.expr.errors import ExpressionError
from levada.expr.filters.date import formatted
from levada.expr.frame import Frame
from levada.expr.host import service
from levada.expr.locale_names import DAY_NAMES
from levada.expr.registry import function, service_function

_POSITIONS: Final = {"FIRST": 0, "SECOND": 1, "THIRD": 2, "FOURTH": 3}


@function("now", ambient=True)
def now(frame: Frame, format: Any = None, timeZone: Any = None, existingFormat: Any = None, locale: Any = None) -> str:
    """The present moment by a pattern or named format."""
    moment = service(frame.host, "now").now()
    where = moment.tzinfo if timeZone is None else instants.zone(values.plain_text(timeZone, "`timeZone`"))
    if where is None:
        raise ExpressionError("the clock of the host has no time zone")
    return formatted(moment, format, where, locale)


def _moment(value: Any, what: str) -> datetime:
    if isinstance(value, str | Date) and not isinstance(value, bool):
        return instants.moment(value)
    raise ExpressionError(f"`{what}` must be a date, not a {values.type_name(value)}")


def _weekday(name: Any, what: str) -> int:
    """Return 0 for Monday to 6 for Sunday."""
    text = values.plain_text(name, what).upper()
    if text not in DAY_NAMES:
        raise ExpressionError(f"{what} must be one of {', '.join(DAY_NAMES)}")
    return DAY_NAMES.index(text)


@function("dayOfWeek")
def day_of_week(date: Any) -> str:
    """The English name of the day in capitals: MONDAY to SUNDAY."""
    return DAY_NAMES[_moment(date, "date").weekday()]


@function("dayOfMonth")
def day_of_month(date: Any) -> int:
    """The day of the month, from 1."""
    return _moment(date, "date").day


@function("monthOfYear")
def month_of_year(date: Any) -> int:
    """The month, 1 to 12."""
    return _moment(date, "date").month


@function("hourOfDay")
def hour_of_day(date: Any) -> int:
    """The hour, 0 to 23."""
    return _moment(date, "date").hour


@function("isWeekend")
def is_weekend(date: Any) -> bool:
    """Whether the day is a Saturday or Sunday."""
    return _moment(date, "date").weekday() >= 5


@function("isDayWeekInMonth")
def is_day_week_in_month(date: Any, dayOfWeek: Any, position: Any) -> bool:
    """Whether the day is the FIRST, SECOND, THIRD, FOURTH or LAST such weekday of its month."""
    moment, weekday = _moment(date, "date"), _weekday(dayOfWeek, "`dayOfWeek`")
    place = values.plain_text(position, "`position`").upper()
    if place == "LAST":
        return moment.weekday() == weekday and moment.day + 7 > calendar.monthrange(moment.year, moment.month)[1]
    if place not in _POSITIONS:
        raise ExpressionError(f"`position` must be one of {', '.join(_POSITIONS)}, LAST")
    return moment.weekday() == weekday and (moment.day - 1) // 7 == _POSITIONS[place]


@function("isLastWorkingDay")
def is_last_working_day(date: Any, workingDays: Any = None) -> bool:
    """Whether the day is the last working day of its month; Monday to Friday where no days are given."""
    moment = _moment(date, "date")
    working = set(range(5))
    if workingDays is not None and values.plain_text(workingDays, "`workingDays`").strip():
        working = {_weekday(name, "`workingDays`") for name in workingDays.replace(",", " ").split()}
    day = moment.replace(day=calendar.monthrange(moment.year, moment.month)[1])
    while day.weekday() not in working:
        day -= timedelta(days=1)
    return moment.day == day.day


@function("isDateBefore")
def is_date_before(date: Any, before: Any) -> bool:
    """Whether the moment is before another."""
    return _moment(date, "date") < _moment(before, "before")


@function("isDateAfter")
def is_date_after(date: Any, after: Any) -> bool:
    """Whether the moment is after another."""
    return _moment(date, "date") > _moment(after, "after")


@function("isDateBetween")
def is_date_between(date: Any, after: Any, before: Any) -> bool:
    """Whether the moment is between two others, both excluded."""
    return _moment(after, "after") < _moment(date, "date") < _moment(before, "before")


# Calendars of holidays are data that this package does not have.
service_function(
    "isPublicHoliday",
    "date, countryCode, subDivision=null",
    "Whether the day is a public holiday of a country.",
    taint="keep",
)
