"""Dates and durations as clients read them."""

from datetime import UTC, datetime, timedelta

from levada.model import durations

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def date(us: int) -> str:
    """Return epoch microseconds as `2026-07-24T09:00:00.123456Z`."""
    return (_EPOCH + timedelta(microseconds=us)).isoformat(timespec="microseconds")[:-6] + "Z"


def duration(us: int) -> str:
    """Return microseconds as `PT26H3M1.5S`; clocks of two machines may differ, so less than nothing is nothing."""
    return durations.format(max(us, 0))
