"""Rules for schedules: cron expressions and time zones."""

import re
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from croniter import CroniterError, croniter

from levada.flowfile.facts import Facts
from levada.flowfile.node import is_dynamic
from levada.flowfile.problems import Report
from levada.model.errors import UserError

_NICKNAMES: Final = frozenset({"@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"})
#: Java also knows zones by their distance from UTC.
_OFFSET: Final = re.compile(r"(?:Z|(?:UTC|GMT|UT)?(?:[+-]\d{1,2}(?::?\d{2})?)?)")


def check(facts: Facts, report: Report) -> None:
    """Check every schedule of the flow."""
    for trigger, path in facts.triggers:
        if trigger.type == "core.trigger.Schedule":
            cron = trigger.properties.get("cron")
            if isinstance(cron, str) and not is_dynamic(cron):
                problem = cron_problem(cron, with_seconds=trigger.properties.get("withSeconds") in (True, "true"))
                if problem:
                    report.error((*path, "cron"), f"invalid cron expression '{cron}': {problem}")
        zone = trigger.properties.get("timezone")
        if isinstance(zone, str) and not is_dynamic(zone) and not is_zone(zone):
            report.error((*path, "timezone"), f"'{zone}' is not a valid time-zone ID; write it like Europe/Paris")


def cron_problem(cron: str, *, with_seconds: bool = False) -> str | None:
    """Return what is wrong with a cron expression, or None."""
    if cron.startswith("@"):
        return None if cron in _NICKNAMES else f"the nicknames are {', '.join(sorted(_NICKNAMES))}"
    fields = cron.split()
    wanted = 6 if with_seconds else 5
    if len(fields) != wanted:
        hint = " (six only with `withSeconds: true`)" if len(fields) == 6 else ""
        return f"it has {len(fields)} fields, but needs {wanted}{hint}"
    # Kestra puts the seconds first, croniter last.
    ordered = [*fields[1:], fields[0]] if with_seconds else fields
    try:
        croniter(" ".join(ordered))
    except (CroniterError, ValueError, UserError) as problem:
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
