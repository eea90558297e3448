"""Rules for schedules: cron expressions and time zones."""

import re
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from levada.engine import cron
from levada.flowfile.facts import Facts
from levada.flowfile.node import is_dynamic
from levada.flowfile.problems import Report

#: Java also knows zones by their distance from UTC.
_OFFSET: Final = re.compile(r"(?:Z|(?:UTC|GMT|UT)?(?:[+-]\d{1,2}(?::?\d{2})?)?)")


def check(facts: Facts, report: Report) -> None:
    """Check every schedule of the flow."""
    for trigger, path in facts.triggers:
        if trigger.type == "core.trigger.Schedule":
            text = trigger.properties.get("cron")
            if isinstance(text, str) and not is_dynamic(text):
                problem = cron_problem(text, with_seconds=trigger.properties.get("withSeconds") in (True, "true"))
                if problem:
                    report.error((*path, "cron"), f"invalid cron expression '{text}': {problem}")
        zone = trigger.properties.get("timezone")
        if isinstance(zone, str) and not is_dynamic(zone) and not is_zone(zone):
            report.error((*path, "timezone"), f"'{zone}' is not a valid time-zone ID; write it like Europe/Paris")


def cron_problem(expression: str, *, with_seconds: bool = False) -> str | None:
    """Return what is wrong with a cron expression, or None."""
    try:
        cron.parse(expression, with_seconds=with_seconds)
    except cron.BadCron as problem:
        return str(problem)
    return None


def is_zone(name: Any) -> bool:
    """Whether a time zone exists."""
    if not name or len(name) > 100:
        return False
    if _OFFSET.fullmatch(name):
        return True
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True
