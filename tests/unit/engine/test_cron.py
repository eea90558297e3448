"""Dates of cron expressions, in UTC and where clocks change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from levada.engine import cron

BERLIN = ZoneInfo("Europe/Berlin")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def us(text: str) -> int:
    return (datetime.fromisoformat(text).astimezone(UTC) - EPOCH) // timedelta(microseconds=1)


def following(expression: str, at: str, zone: ZoneInfo | None = None, count: int = 1, **options: bool) -> list[str]:
    where = zone or UTC
    parsed, moment, out = cron.parse(expression, **options), us(at), []
    for _ in range(count):
        found = parsed.after(moment, where)
        assert found is not None
        moment = found
        out.append((EPOCH + timedelta(microseconds=found)).astimezone(where).isoformat(timespec="minutes"))
    return out


def preceding(expression: str, at: str, zone: ZoneInfo, count: int) -> list[str]:
    parsed, moment, out = cron.parse(expression), us(at), []
    for _ in range(count):
        found = parsed.before(moment, zone)
        assert found is not None
        moment = found
        out.append((EPOCH + timedelta(microseconds=found)).astimezone(zone).isoformat(timespec="minutes"))
    return out[::-1]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("* * * * *", "2026-01-31T10:21"),
        ("*/15 * * * *", "2026-01-31T10:30"),
        ("0 9-17/4 * * *", "2026-01-31T13:00"),
        ("5/20 * * * *", "2026-01-31T10:25"),
        ("0 0 31 * *", "2026-03-31T00:00"),
        ("0 0 L * *", "2026-02-28T00:00"),
        ("0 0 1,L * *", "2026-02-01T00:00"),
        ("0 0 * * 7", "2026-02-01T00:00"),
        ("0 0 * * SUN", "2026-02-01T00:00"),
        ("0 0 * * FRI-SUN", "2026-02-01T00:00"),
        ("0 0 * * 5#2", "2026-02-13T00:00"),
        ("0 0 * * 5L", "2026-02-27T00:00"),
        ("0 0 29 2 *", "2028-02-29T00:00"),
        ("0 12 * FEB,apr *", "2026-02-01T12:00"),
        ("0 0 ? * ?", "2026-02-01T00:00"),
        ("@hourly", "2026-01-31T11:00"),
        ("@daily", "2026-02-01T00:00"),
        ("@weekly", "2026-02-01T00:00"),
        ("@monthly", "2026-02-01T00:00"),
        ("@Yearly", "2027-01-01T00:00"),
    ],
)
def test_the_next_date(expression: str, expected: str) -> None:
    assert following(expression, "2026-01-31T10:20:00Z") == [f"{expected}+00:00"]


def test_either_day_field_names_a_day() -> None:
    found = following("0 0 13 * 5", "2026-02-01T00:00:00Z", count=4)
    assert [date[:10] for date in found] == ["2026-02-06", "2026-02-13", "2026-02-20", "2026-02-27"]


def test_a_step_of_one_restricts_nothing() -> None:
    assert following("0 0 */1 * MON", "2026-02-01T00:00:00Z")[0].startswith("2026-02-02")


def test_seconds_come_first() -> None:
    at = us("2026-01-31T10:20:00Z")
    found = cron.parse("*/20 * * * * *", with_seconds=True).after(at, UTC)
    assert found == at + 20_000_000


def test_a_date_is_strictly_after_and_strictly_before() -> None:
    at = us("2026-01-31T10:00:00Z")
    hourly = cron.parse("0 * * * *")
    assert hourly.after(at, UTC) == at + 3_600_000_000
    assert hourly.after(at - 1, UTC) == at
    assert hourly.before(at, UTC) == at - 3_600_000_000
    assert hourly.before(at + 1, UTC) == at


# --- 2026-03-29 02:00 is 03:00 in Berlin; 2026-10-25 03:00 is 02:00 again


def test_a_time_in_the_gap_takes_place_after_it() -> None:
    found = following("30 2 * * *", "2026-03-28T03:00:00+01:00", BERLIN, count=2)
    assert found == ["2026-03-29T03:00+02:00", "2026-03-30T02:30+02:00"]


def test_several_times_in_the_gap_take_place_once() -> None:
    found = following("0,15,30 2,3 * * *", "2026-03-29T01:00:00+01:00", BERLIN, count=3)
    assert found == ["2026-03-29T03:00+02:00", "2026-03-29T03:15+02:00", "2026-03-29T03:30+02:00"]


def test_a_time_that_comes_twice_counts_once() -> None:
    found = following("30 2 * * *", "2026-10-24T12:00:00+02:00", BERLIN, count=2)
    assert found == ["2026-10-25T02:30+02:00", "2026-10-26T02:30+01:00"]


def test_every_so_often_follows_real_time() -> None:
    spring = following("*/30 * * * *", "2026-03-29T01:00:00+01:00", BERLIN, count=3)
    assert spring == ["2026-03-29T01:30+01:00", "2026-03-29T03:00+02:00", "2026-03-29T03:30+02:00"]
    autumn = following("0 * * * *", "2026-10-25T01:00:00+02:00", BERLIN, count=3)
    assert autumn == ["2026-10-25T02:00+02:00", "2026-10-25T02:00+01:00", "2026-10-25T03:00+01:00"]


@pytest.mark.parametrize("expression", ["30 2 * * *", "*/20 * * * *", "0,15,30 2,3 * * *", "0 */2 * * *"])
@pytest.mark.parametrize("day", ["2026-03-29", "2026-10-25"])
def test_backwards_is_the_same(expression: str, day: str) -> None:
    forward = following(expression, f"{day}T00:10:00+01:00", BERLIN, count=5)
    last = us(forward[-1])
    assert [*preceding(expression, forward[-1], BERLIN, 4), forward[-1]] == forward
    assert cron.parse(expression).before(last + 1, BERLIN) == last


ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Havana", "Asia/Kolkata"]
minutes = st.sampled_from(["*", "*/7", "0", "30", "1-5", "2,3"])
hours = st.sampled_from(["*", "*/7", "0", "23", "1-5", "2,3"])
moments = st.integers(min_value=us("2020-01-01T00:00:00Z"), max_value=us("2035-01-01T00:00:00Z"))


@settings(max_examples=200, deadline=None)
@given(
    minute=minutes,
    hour=hours,
    days=st.sampled_from(["* * *", "L * *", "* * 1", "1 3 0"]),
    at=moments,
    zone=st.sampled_from(ZONES),
)
def test_after_and_before_agree(minute: str, hour: str, days: str, at: int, zone: str) -> None:
    parsed, where = cron.parse(f"{minute} {hour} {days}"), ZoneInfo(zone)
    found = parsed.after(at, where)
    assert found is not None
    assert found > at
    assert parsed.before(found + 1, where) == found
    previous = parsed.before(found, where)
    assert previous is not None
    assert previous <= at
    assert parsed.after(previous, where) == found


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("* * * *", "4 fields"),
        ("* * * * * *", "withSeconds"),
        ("60 * * * *", "minutes"),
        ("* 24 * * *", "hours"),
        ("* * 0 * *", "days of the month"),
        ("* * * 13 *", "months"),
        ("* * * * 8", "days of the week"),
        ("* * * * XYZ", "MON"),
        ("*/0 * * * *", "after / comes"),
        ("30-10 * * * *", "two ranges"),
        ("0 0 30 2 *", "no such day"),
        ("* * * * 5#6", "from 1 to 5"),
        ("@reboot", "@daily"),
        ("a b c d e", "it must be a number"),
        ("1,,2 * * * *", "it must be a number"),
        ("٣ * * * *", "it must be a number"),
    ],
)
def test_what_is_no_expression_is_refused(expression: str, why: str) -> None:
    with pytest.raises(cron.BadCron, match=why):
        cron.parse(expression)
