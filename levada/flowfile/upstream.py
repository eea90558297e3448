"""Rules for what a Flow trigger waits for: time windows and filters of 1.x, and the count of 2.0."""

from collections.abc import Iterator
from typing import Any, Final

from levada.flowfile.facts import Facts
from levada.flowfile.loader import Path
from levada.flowfile.problems import Report

#: Window type -> (property, its name in a sentence) that it needs, and that it cannot have.
_NEEDS: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    "DAILY_TIME_DEADLINE": (("deadline", "a deadline"),),
    "DAILY_TIME_WINDOW": (("startTime", "a start time"), ("endTime", "an end time")),
    "SLIDING_WINDOW": (("window", "a window"),),
    "DURATION_WINDOW": (),
}
_REFUSES: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    "DAILY_TIME_DEADLINE": (("window", "a window"), ("windowAdvance", "a window"), ("startTime", "a start time")),
    "DAILY_TIME_WINDOW": (("window", "a window"), ("windowAdvance", "a window"), ("deadline", "a deadline")),
    "SLIDING_WINDOW": (("deadline", "a deadline"), ("startTime", "a start time"), ("endTime", "an end time")),
    "DURATION_WINDOW": (("deadline", "a deadline"), ("startTime", "a start time"), ("endTime", "an end time")),
}
_LISTED: Final = frozenset({"IN", "NOT_IN"})


def check(facts: Facts, report: Report) -> None:
    """Check every trigger that waits for other flows."""
    for trigger, path in facts.triggers:
        preconditions = trigger.properties.get("preconditions")
        if isinstance(preconditions, dict):
            at = (*path, "preconditions")
            _window(preconditions.get("timeWindow"), (*at, "timeWindow"), report)
            _filters(preconditions.get("where"), (*at, "where"), report)
        for condition, at in _conditions(trigger.properties.get("conditions"), (*path, "conditions")):
            if condition.get("type") == "core.condition.MultipleCondition":
                _window(condition.get("timeWindow"), (*at, "timeWindow"), report)
        if trigger.properties.get("mode") == "AT_LEAST" and trigger.properties.get("minSatisfied") is None:
            report.error((*path, "minSatisfied"), "must not be null; the mode AT_LEAST needs it")


def _conditions(items: Any, path: Path) -> Iterator[tuple[dict[str, Any], Path]]:
    if isinstance(items, list):
        for index, item in enumerate(items):
            if isinstance(item, dict):
                yield item, (*path, index)
                yield from _conditions(item.get("conditions"), (*path, index, "conditions"))


def _window(window: Any, path: Path, report: Report) -> None:
    if not isinstance(window, dict):
        return
    kind = window.get("type") or "DURATION_WINDOW"
    if kind not in _NEEDS:
        return
    told = f"Time window of type `{kind}`"
    for name, called in _NEEDS[kind]:
        if window.get(name) is None:
            report.error(path, f"{told} must have {called}.")
    if any(window.get(name) is not None for name, _ in _REFUSES[kind]):
        # All that this type refuses, because one sentence more is kinder than one more try.
        refused = dict.fromkeys(called for _, called in _REFUSES[kind])
        report.error(path, " ".join(f"{told} cannot have {called}." for called in refused))


def _filters(items: Any, path: Path, report: Report) -> None:
    if not isinstance(items, list):
        return
    for index, item in enumerate(items):
        filters = item.get("filters") if isinstance(item, dict) else None
        for number, one in enumerate(filters if isinstance(filters, list) else []):
            if isinstance(one, dict):
                _filter(one, (*path, index, "filters", number), report)


def _filter(one: dict[str, Any], path: Path, report: Report) -> None:
    kind = one.get("type")
    if kind in _LISTED:
        if one.get("value") is not None:
            report.error(path, f"`value` must be null for type {kind}")
        if one.get("values") is None:
            report.error(path, f"`values` must not be null for type {kind}")
    elif kind is not None and one.get("values") is not None:
        report.error(path, f"`values` must be null for type {kind}")
