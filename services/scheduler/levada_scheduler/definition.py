"""What firing a schedule needs of its flow, as it is kept with the schedule.

A scheduler that parsed a flow for every date would spend its second on YAML. So the flow is parsed once per revision, and
what a start needs of it (the trigger, inputs, variables, labels) is kept as JSON beside the next date. FORMAT numbers the
shape: a release that reads more out of a flow raises it, and every flow is read again once.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Any, Final, Protocol

import msgspec

from levada import expr
from levada.engine import cron
from levada.expr.instants import moment
from levada.expr.instants import zone as zone_of
from levada.model import durations
from levada.model.errors import UserError
from levada.model.flow import Flow, Trigger
from levada.runtime.starting import conditions_of
from levada.store.triggers import Declared, Due

FORMAT: Final = 1
CRON: Final = "core.trigger.Schedule"
ON_DATES: Final = "core.trigger.ScheduleOnDates"
TYPES: Final = frozenset({CRON, ON_DATES})

_DATES: Final = ("cron", "withSeconds", "dates", "timezone", "when", "conditions", "scheduleConditions")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_encode = msgspec.json.Encoder(order="deterministic").encode
_decode = msgspec.json.Decoder(Flow).decode


class Timetable(Protocol):
    """Which dates there are; times are epoch microseconds."""

    def after(self, us: int, zone: tzinfo) -> int | None:
        """Return the first date after then."""

    def before(self, us: int, zone: tzinfo) -> int | None:
        """Return the last date before then."""


class Listed(msgspec.Struct, frozen=True):
    """Dates one by one, ascending."""

    dates: tuple[int, ...]

    def after(self, us: int, zone: tzinfo) -> int | None:
        at = bisect_right(self.dates, us)
        return self.dates[at] if at < len(self.dates) else None

    def before(self, us: int, zone: tzinfo) -> int | None:
        at = bisect_left(self.dates, us)
        return self.dates[at - 1] if at else None


class Schedule(msgspec.Struct, frozen=True):
    """A schedule that can be fired. `flow` has no tasks and this one trigger. Times are microseconds."""

    flow: Flow
    trigger: Trigger
    table: Timetable
    zone: tzinfo
    recover: str | None
    late_maximum_us: int | None
    allow_concurrent: bool

    @property
    def conditional(self) -> bool:
        """Whether there are dates of the expression that are none of the schedule."""
        return self.trigger.properties.get("when") is not None or bool(conditions_of(self.trigger))


def declared(flow: Flow, trigger: Trigger) -> Declared:
    """Return a trigger of a flow as the store keeps it."""
    properties = trigger.properties
    slim = msgspec.structs.replace(
        flow,
        description=None,
        outputs=(),
        tasks=(),
        errors=(),
        finally_=(),
        after_execution=(),
        listeners=(),
        triggers=(trigger,),
        sla=(),
        checks=(),
        plugin_defaults=(),
    )
    return Declared(
        tenant=flow.tenant,
        namespace=flow.namespace,
        flow_id=flow.id,
        trigger_id=trigger.id,
        type=trigger.type,
        definition=_encode(slim).decode(),
        signature=_signature(flow, properties),
        active=not (flow.disabled or trigger.disabled),
        allow_concurrent=_flag(properties.get("allowConcurrent")),
        stop_after=[str(state) for state in properties.get("stopAfter") or ()],
    )


def _signature(flow: Flow, properties: dict[str, Any]) -> str:
    """Return what the dates of a schedule depend on; variables only where an expression may read them."""
    dates = {key: properties[key] for key in _DATES if properties.get(key) is not None}
    text = _encode(dates).decode()
    return text + _encode(flow.variables).decode() if "{{" in text or "{%" in text else text


def read(due: Due, default_zone: tzinfo, render: Callable[[Flow, Any], Any]) -> Schedule:
    """Return the schedule that is due. `render` renders a property of a flow. Raises UserError."""
    flow = _flow(due.definition)
    trigger = flow.triggers[0]
    properties = trigger.properties
    zone = render(flow, properties.get("timezone"))
    late = render(flow, properties.get("lateMaximumDelay"))
    try:
        where = default_zone if zone is None else zone_of(str(zone))
        table = _table(flow, trigger, where, render)
    except (cron.BadCron, expr.ExpressionError) as error:
        raise UserError(f"trigger {trigger.id}: {error}") from error
    return Schedule(
        flow=flow,
        trigger=trigger,
        table=table,
        zone=where,
        recover=properties.get("recoverMissedSchedules"),
        late_maximum_us=None if late is None else durations.parse(str(late)),
        allow_concurrent=_flag(properties.get("allowConcurrent")),
    )


def _table(flow: Flow, trigger: Trigger, zone: tzinfo, render: Callable[[Flow, Any], Any]) -> Timetable:
    properties = trigger.properties
    if trigger.type == ON_DATES:
        moments = [moment(render(flow, date), zone) for date in properties.get("dates") or ()]
        return Listed(tuple(sorted({(each - _EPOCH) // timedelta(microseconds=1) for each in moments})))
    return cron.parse(str(render(flow, properties.get("cron", ""))), with_seconds=_flag(properties.get("withSeconds")))


def reads(due: Due) -> list[Any]:
    """Return everything that is rendered for a schedule; nothing for what can not be read, which `read` will say."""
    try:
        trigger = _flow(due.definition).triggers[0]
    except (msgspec.DecodeError, IndexError):
        return []
    values = [trigger.properties.get(name) for name in ("cron", "dates", "timezone", "lateMaximumDelay", "when")]
    return [*values, conditions_of(trigger), trigger.inputs, [value for _, value in trigger.labels]]


@lru_cache(maxsize=5000)
def _flow(definition: str) -> Flow:
    return _decode(definition)


def _flag(value: Any) -> bool:
    """Return a flag of a flow file, where quoted ones are accepted too."""
    return value is True or str(value).lower() == "true"
