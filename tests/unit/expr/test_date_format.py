"""Java's date patterns, written and read, and ISO texts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from levada.expr import date_format, instants
from levada.expr.errors import ExpressionError

PARIS = ZoneInfo("Europe/Paris")
MOMENT = datetime(2024, 3, 5, 17, 8, 9, 123456, tzinfo=PARIS)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("yyyy-MM-dd'T'HH:mm:ss.SSSSSSXXX", "2024-03-05T17:08:09.123456+01:00"),
        ("yy/M/d", "24/3/5"),
        ("uuuu.MM.dd G", "2024.03.05 AD"),
        ("EEEE, d MMMM yyyy", "Tuesday, 5 March 2024"),
        ("EEE MMM dd", "Tue Mar 05"),
        ("h:mm a / hh / K / k", "5:08 PM / 05 / 5 / 17"),
        ("SSS SSSSSSSSS n", "123 123456000 123456000"),
        ("D DDD w e Q QQQ", "65 065 10 2 1 Q1"),
        ("X XX XXX x xx Z ZZZZ ZZZZZ O", "+01 +0100 +01:00 +01 +0100 +0100 GMT+01:00 +01:00 GMT+01:00"),
        ("VV z", "Europe/Paris CET"),
        ("yyyy''yy 'o''clock'", "2024'24 o'clock"),
        ("[yyyy][-MM]", "2024-03"),
        ("iso", "2024-03-05T17:08:09.123456+01:00"),
        ("iso_sec", "2024-03-05T17:08:09+01:00"),
        ("sql", "2024-03-05 17:08:09.123456"),
        ("sql_seq", "2024-03-05 17:08:09"),
        ("iso_date_time", "2024-03-05T17:08:09.123456+01:00[Europe/Paris]"),
        ("iso_local_date_time", "2024-03-05T17:08:09.123456"),
        ("iso_date", "2024-03-05+01:00"),
        ("iso_local_time", "17:08:09.123456"),
        ("iso_instant", "2024-03-05T16:08:09.123456Z"),
        ("iso_ordinal_date", "2024-065+01:00"),
        ("iso_week_date", "2024-W10-2+01:00"),
        ("rfc_1123_date_time", "Tue, 5 Mar 2024 17:08:09 +0100"),
        ("medium", "Mar 5, 2024, 5:08:09 PM"),
        ("short", "3/5/24, 5:08 PM"),
    ],
)
def test_a_pattern_writes(pattern: str, text: str) -> None:
    assert date_format.write(MOMENT, pattern) == text


def test_names_follow_the_locale() -> None:
    assert date_format.write(MOMENT, "EEEE d MMMM", "fr_FR") == "mardi 5 mars"
    assert date_format.write(MOMENT, "EEEE, d. MMMM", "de") == "Dienstag, 5. März"


@pytest.mark.parametrize(
    ("text", "pattern", "moment"),
    [
        ("2024-03-05 17:08", "yyyy-MM-dd HH:mm", datetime(2024, 3, 5, 17, 8, tzinfo=PARIS)),
        ("20240305170809", "yyyyMMddHHmmss", datetime(2024, 3, 5, 17, 8, 9, tzinfo=PARIS)),
        ("5/3/24", "d/M/yy", datetime(2024, 3, 5, tzinfo=PARIS)),
        ("July 24, 2001", "MMMM dd, yyyy", datetime(2001, 7, 24, tzinfo=PARIS)),
        ("tue, 05 mar 2024", "EEE, dd MMM yyyy", datetime(2024, 3, 5, tzinfo=PARIS)),
        ("5:08 pm, 5.3.2024", "h:mm a, d.M.yyyy", datetime(2024, 3, 5, 17, 8, tzinfo=PARIS)),
        ("2024-03-05T17:08:09.5Z", "yyyy-MM-dd'T'HH:mm:ss.SX", datetime(2024, 3, 5, 17, 8, 9, 500000, tzinfo=UTC)),
        ("2024-03-05 17:08 America/New_York", "yyyy-MM-dd HH:mm VV", datetime(2024, 3, 5, 17, 8, tzinfo=ZoneInfo("America/New_York"))),
        ("2024-03-05", "yyyy-MM-dd[ HH:mm]", datetime(2024, 3, 5, tzinfo=PARIS)),
        ("2024-065", "yyyy-DDD", datetime(2024, 3, 5, tzinfo=PARIS)),
    ],
)  # fmt: skip
def test_a_pattern_reads(text: str, pattern: str, moment: datetime) -> None:
    assert date_format.read(text, pattern, PARIS) == moment


@pytest.mark.parametrize(
    ("text", "pattern"),
    [("2024-13-01", "yyyy-MM-dd"), ("2024-02-30", "yyyy-MM-dd"), ("x", "yyyy"), ("2024-01-01x", "yyyy-MM-dd"), ("1", "'open"), ("1", "[")],
)  # fmt: skip
def test_what_does_not_fit_is_refused(text: str, pattern: str) -> None:
    with pytest.raises(ExpressionError):
        date_format.read(text, pattern, UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-01-31", datetime(2024, 1, 31, tzinfo=PARIS)),
        ("2024-01-31T10:00", datetime(2024, 1, 31, 10, tzinfo=PARIS)),
        ("2024-01-31T10:00:00Z", datetime(2024, 1, 31, 10, tzinfo=UTC)),
        (
            "2024-01-31T10:00:00.123456789+02:00",
            datetime(2024, 1, 31, 10, 0, 0, 123456, tzinfo=timezone(timedelta(hours=2))),
        ),
        ("2024-07-31T10:00+02:00[Europe/Paris]", datetime(2024, 7, 31, 10, tzinfo=PARIS)),
    ],
)
def test_iso_text_is_read(text: str, moment: datetime) -> None:
    assert instants.parse(text, PARIS) == moment


def test_zones_are_names_or_offsets() -> None:
    assert instants.zone("+02:00").utcoffset(None) == timedelta(hours=2)
    assert instants.zone("UTC-5").utcoffset(None) == timedelta(hours=-5)
    assert instants.zone("Z") is UTC
    for bad in ("Nowhere/City", "+99:00", "../etc/passwd", "", "\x00"):
        with pytest.raises(ExpressionError):
            instants.zone(bad)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("PT1H30M", timedelta(minutes=90)),
        ("P1DT2S", timedelta(days=1, seconds=2)),
        ("PT0.5S", timedelta(milliseconds=500)),
        ("-PT10M", timedelta(minutes=-10)),
        ("PT-10M", timedelta(minutes=-10)),
    ],
)
def test_durations_are_read(text: str, value: timedelta) -> None:
    assert instants.parse_duration(text) == value


@pytest.mark.parametrize("text", ["", "P", "PT", "1h", "PT1X", "P99999999999D"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ExpressionError):
        instants.parse_duration(text)
