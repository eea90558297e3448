"""Cron expressions: which moments they name, in any time zone. Pure; the zone is an argument.

Read by `parse` into sets of numbers, searched field by field, never minute by minute: the next slot costs microseconds
also when it is years away. Fields are those of crontab(5), with Kestra's leading field for seconds: lists, ranges, steps,
names, `L` for the last day of a month, `5L` for its last Friday, `5#2` for its second. 0 and 7 are Sunday. Where both day
fields are restricted, a day matches that either of them names.

When clocks are put forward or back, what a person expects depends on the expression, so there are two rules (the ones of
Vixie's cron, which most people know without knowing it):

- Fields of hours that name every hour mean "every so often": real time goes on, nothing is left out, nothing is doubled
  up. A shown time that exists twice is two slots, one that does not exist is none.
- Fields of hours that name certain hours mean "once at that time": what exists twice counts the first time only, and what
  does not exist takes place at the first moment after the gap, once however many slots fell into it.

Instants are epoch microseconds.
"""

from bisect import bisect_left, bisect_right
from calendar import monthrange
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from typing import Final

import msgspec

from levada.model.errors import UserError

NICKNAMES: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
#: An expression without a slot in so many years has none: leap days come every four, eight around some centuries.
HORIZON_YEARS: Final = 8

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_SECOND: Final = timedelta(seconds=1)
_DAY: Final = timedelta(days=1)
_LONGEST_OVERLAP: Final = timedelta(hours=3)
_ALL_HOURS: Final = tuple(range(24))
_MONTHS: Final = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_OF_WEEK: Final = "days of the week"
_ANY: Final = frozenset({"*", "?", "*/1"})
_WEEKDAYS: Final = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")


class BadCron(UserError):
    """The text is not a cron expression."""


class Cron(msgspec.Struct, frozen=True):
    """The numbers that each field names, ascending. `days` and `weekdays` are None where any will do.

    `nth` are (weekday, which): the second Friday is (5, 2), the last one (5, -1). Weekdays count from Sunday, 0.
    """

    seconds: tuple[int, ...]
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: tuple[int, ...] | None
    months: tuple[int, ...]
    weekdays: tuple[int, ...] | None
    last_day: bool = False
    nth: tuple[tuple[int, int], ...] = ()

    def after(self, us: int, zone: tzinfo) -> int | None:
        """Return the first slot after an instant; None if there is none within HORIZON_YEARS."""
        found = (self._after_elapsed if self.hours == _ALL_HOURS else self._after_fixed)(_moment(us), zone)
        return None if found is None else _us(found)

    def before(self, us: int, zone: tzinfo) -> int | None:
        """Return the last slot before an instant; None if there is none within HORIZON_YEARS."""
        found = (self._before_elapsed if self.hours == _ALL_HOURS else self._before_fixed)(_moment(us), zone)
        return None if found is None else _us(found)

    # --- every so often: walk from one change of the clocks to the next

    def _after_elapsed(self, at: datetime, zone: tzinfo) -> datetime | None:
        from_ = _MICROSECOND  # strictly after at first, from a change of the clocks on with it
        while True:
            shown = _shown(at, zone)
            wanted = self._shown_from(shown + from_)
            if wanted is None:
                return None
            found = at + (wanted - shown)
            change = _first_change(zone, at, found)
            if change is None:
                return found
            at, from_ = change, timedelta()

    def _before_elapsed(self, at: datetime, zone: tzinfo) -> datetime | None:
        while True:
            last = at - _MICROSECOND
            shown = _shown(last, zone)
            wanted = self._shown_to(shown)
            if wanted is None:
                return None
            found = last - (shown - wanted)
            change = _last_change(zone, found, last)
            if change is None:
                return found
            at = change

    # --- once at that time: every shown time stands for one instant, and their order is the same

    def _after_fixed(self, at: datetime, zone: tzinfo) -> datetime | None:
        wanted = self._shown_from(_shown(at, zone) + _MICROSECOND)
        while wanted is not None:
            found = _instant(wanted, zone)
            if found > at:
                return found
            wanted = self._shown_from(wanted + _SECOND)
        return None

    def _before_fixed(self, at: datetime, zone: tzinfo) -> datetime | None:
        local = at.astimezone(zone)
        # The second time a clock shows 02:15, its first 02:45 has been.
        shown = local.replace(tzinfo=None, fold=0) + (_LONGEST_OVERLAP if local.fold else timedelta())
        wanted = self._shown_to(shown)
        while wanted is not None:
            found = _instant(wanted, zone)
            if found < at:
                return found
            wanted = self._shown_to(wanted - _SECOND)
        return None

    # --- times as a clock on the wall shows them

    def _shown_from(self, shown: datetime) -> datetime | None:
        """Return the first time of this expression that is not before `shown`."""
        start = shown.replace(microsecond=0)
        if start < shown:
            start += _SECOND
        if start.day in self._days_of(start.year, start.month):
            clock = self._clock_from(start.hour, start.minute, start.second)
            if clock is not None:
                return datetime.combine(start, time(*clock))
        day = self._day_after(start.date())
        if day is None:
            return None
        return datetime.combine(day, time(self.hours[0], self.minutes[0], self.seconds[0]))

    def _shown_to(self, shown: datetime) -> datetime | None:
        """Return the last time of this expression that is not after `shown`."""
        if shown.day in self._days_of(shown.year, shown.month):
            clock = self._clock_to(shown.hour, shown.minute, shown.second)
            if clock is not None:
                return datetime.combine(shown, time(*clock))
        day = self._day_before(shown.date())
        if day is None:
            return None
        return datetime.combine(day, time(self.hours[-1], self.minutes[-1], self.seconds[-1]))

    def _clock_from(self, hour: int, minute: int, second: int) -> tuple[int, int, int] | None:
        for h in self.hours[bisect_left(self.hours, hour) :]:
            if h > hour:
                return h, self.minutes[0], self.seconds[0]
            for m in self.minutes[bisect_left(self.minutes, minute) :]:
                if m > minute:
                    return h, m, self.seconds[0]
                at = bisect_left(self.seconds, second)
                if at < len(self.seconds):
                    return h, m, self.seconds[at]
        return None

    def _clock_to(self, hour: int, minute: int, second: int) -> tuple[int, int, int] | None:
        for h in reversed(self.hours[: bisect_right(self.hours, hour)]):
            if h < hour:
                return h, self.minutes[-1], self.seconds[-1]
            for m in reversed(self.minutes[: bisect_right(self.minutes, minute)]):
                if m < minute:
                    return h, m, self.seconds[-1]
                at = bisect_right(self.seconds, second)
                if at:
                    return h, m, self.seconds[at - 1]
        return None

    def _day_after(self, day: date) -> date | None:
        year, month, least = day.year, day.month, day.day + 1
        for _ in range(HORIZON_YEARS * 12 + 1):
            days = self._days_of(year, month)
            at = bisect_left(days, least)
            if at < len(days):
                return date(year, month, days[at])
            year, month, least = (year, month + 1, 1) if month < 12 else (year + 1, 1, 1)
        return None

    def _day_before(self, day: date) -> date | None:
        year, month, beyond = day.year, day.month, day.day
        for _ in range(HORIZON_YEARS * 12 + 1):
            days = self._days_of(year, month)
            at = bisect_left(days, beyond)
            if at:
                return date(year, month, days[at - 1])
            year, month, beyond = (year, month - 1, 32) if month > 1 else (year - 1, 12, 32)
        return None

    def _days_of(self, year: int, month: int) -> tuple[int, ...]:
        return _days(self, year, month) if month in self.months else ()


@lru_cache(maxsize=20_000)
def _days(cron: Cron, year: int, month: int) -> tuple[int, ...]:
    """Return the days of a month that an expression names, ascending."""
    first, length = monthrange(year, month)
    first = (first + 1) % 7  # Monday is 0 there, Sunday here
    everyday = range(1, length + 1)
    by_day = {day for day in everyday if cron.days is not None and day in cron.days}
    if cron.last_day:
        by_day.add(length)
    by_weekday = {day for day in everyday if cron.weekdays is not None and (first + day - 1) % 7 in cron.weekdays}
    for weekday, which in cron.nth:
        of_kind = [day for day in everyday if (first + day - 1) % 7 == weekday]
        if which <= len(of_kind):
            by_weekday.add(of_kind[which if which < 0 else which - 1])
    if cron.days is None and cron.weekdays is None:
        return tuple(everyday)
    return tuple(sorted(by_day | by_weekday))


# --- between instants and what a clock shows


def _moment(us: int) -> datetime:
    return _EPOCH + timedelta(microseconds=us)


def _us(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND


def _shown(at: datetime, zone: tzinfo) -> datetime:
    return at.astimezone(zone).replace(tzinfo=None, fold=0)


def _instant(shown: datetime, zone: tzinfo) -> datetime:
    """Return the first instant at which a clock shows this; where none does, the first after the gap."""
    at = shown.replace(tzinfo=zone).astimezone(UTC)
    if _shown(at, zone) == shown:
        return at
    # Read with the distance from UTC before the gap, the time lies after it; read with that after it, before.
    before = shown.replace(tzinfo=zone, fold=1).astimezone(UTC)
    return _first_change(zone, min(before, at), max(before, at)) or at


def _first_change(zone: tzinfo, start: datetime, end: datetime) -> datetime | None:
    """Return the first instant after `start`, up to `end`, from which clocks have another distance from UTC."""
    offset = start.astimezone(zone).utcoffset()
    while start < end:
        look = min(start + _DAY, end)
        if look.astimezone(zone).utcoffset() != offset:
            return _narrowed(zone, start, look)
        start = look
    return None


def _last_change(zone: tzinfo, start: datetime, end: datetime) -> datetime | None:
    """Return the last instant after `start`, up to `end`, from which clocks have another distance from UTC."""
    offset = end.astimezone(zone).utcoffset()
    while start < end:
        look = max(end - _DAY, start)
        if look.astimezone(zone).utcoffset() != offset:
            return _narrowed(zone, look, end)
        end = look
    return None


def _narrowed(zone: tzinfo, start: datetime, end: datetime) -> datetime:
    """Return the one change of the clocks between two instants, to the second that all changes keep to."""
    offset = start.astimezone(zone).utcoffset()
    low, high = _us(start) // 1_000_000, -(-_us(end) // 1_000_000)
    while high - low > 1:
        middle = (low + high) // 2
        if (_EPOCH + timedelta(seconds=middle)).astimezone(zone).utcoffset() == offset:
            low = middle
        else:
            high = middle
    return _EPOCH + timedelta(seconds=high)


# --- reading an expression


@lru_cache(maxsize=20_000)
def parse(text: str, *, with_seconds: bool = False) -> Cron:
    """Read an expression of five fields, of six `with_seconds` (they come first), or a nickname. Raises BadCron."""
    if text.strip().startswith("@"):
        expression = NICKNAMES.get(text.strip().lower())
        if expression is None:
            raise BadCron(f"the nicknames are {', '.join(sorted(NICKNAMES))}")
        fields = ["0", *expression.split()]
    else:
        fields = text.split()
        wanted = 6 if with_seconds else 5
        if len(fields) != wanted:
            hint = " (six only with `withSeconds: true`)" if len(fields) == 6 else ""
            raise BadCron(f"it has {len(fields)} fields, but needs {wanted}{hint}")
        fields = fields if with_seconds else ["0", *fields]
    days, last_day = _days_field(fields[3])
    weekdays, nth = _weekdays_field(fields[5])
    cron = Cron(
        seconds=_numbers(fields[0], "seconds", 0, 59),
        minutes=_numbers(fields[1], "minutes", 0, 59),
        hours=_numbers(fields[2], "hours", 0, 23),
        days=days,
        months=_numbers(fields[4], "months", 1, 12, _MONTHS),
        weekdays=weekdays,
        last_day=last_day,
        nth=nth,
    )
    if cron._day_after(date(2023, 12, 31)) is None:
        raise BadCron(f"there is no such day: `{fields[3]} {fields[4]} {fields[5]}`")
    return cron


def _days_field(text: str) -> tuple[tuple[int, ...] | None, bool]:
    if text in _ANY:
        return None, False
    items = text.split(",")
    others = [item for item in items if item.upper() != "L"]
    numbers = _numbers(",".join(others), "days of the month", 1, 31) if others else ()
    return numbers, len(others) < len(items)


def _weekdays_field(text: str) -> tuple[tuple[int, ...] | None, tuple[tuple[int, int], ...]]:
    if text in _ANY:
        return None, ()
    numbers: set[int] = set()
    nth = []
    for item in text.split(","):
        day, hash_, which = item.partition("#")
        if hash_:
            if which not in ("1", "2", "3", "4", "5"):
                raise BadCron(f"`{item}` in the days of the week: after # comes a number from 1 to 5")
            nth.append((_number(day, _OF_WEEK, 0, 7, _WEEKDAYS) % 7, int(which)))
        elif len(item) > 1 and item[-1] in "lL":
            nth.append((_number(item[:-1], _OF_WEEK, 0, 7, _WEEKDAYS) % 7, -1))
        else:
            numbers.update(number % 7 for number in _numbers(item, _OF_WEEK, 0, 7, _WEEKDAYS))
    return tuple(sorted(numbers)), tuple(nth)


def _numbers(text: str, field: str, low: int, high: int, names: tuple[str, ...] = ()) -> tuple[int, ...]:
    out: set[int] = set()
    top = 6 if field == _OF_WEEK else high  # without Sunday for a second time
    for item in text.split(","):
        span, slash, step_text = item.partition("/")
        step = 1
        if slash:
            if not step_text.isascii() or not step_text.isdigit() or int(step_text) == 0:
                raise BadCron(f"`{item}` in the {field}: after / comes a number from 1 on")
            step = int(step_text)
        first_text, dash, last_text = span.partition("-")
        if span == "*":
            first, last = low, top
        else:
            first = _number(first_text, field, low, high, names)
            last = _number(last_text, field, low, high, names) if dash else (top if slash else first)
            if field == _OF_WEEK and last == 0 < first:
                last = 7  # FRI-SUN
        if last < first:
            raise BadCron(f"`{item}` in the {field}: {first_text} comes after {last_text}; write two ranges")
        out.update(range(first, last + 1, step))
    return tuple(sorted(out))


def _number(text: str, field: str, low: int, high: int, names: tuple[str, ...] = ()) -> int:
    """Return a number or a name's. Names count from `low`."""
    if text.upper() in names:
        return names.index(text.upper()) + low
    if text.isascii() and text.isdigit() and low <= int(text) <= high:
        return int(text)
    hint = f" or a name such as {names[1]}" if names else ""
    raise BadCron(f"`{text}` in the {field}: it must be a number from {low} to {high}{hint}")
