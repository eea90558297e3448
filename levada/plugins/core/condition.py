"""Conditions of triggers, `core.condition.*` (Kestra 1.x): declarations only; levada/engine evaluates them."""

from datetime import timedelta
from typing import Annotated, Any, Literal

import msgspec

from levada.plugins.core.vocabulary import LabelsProperty, StateName
from levada.sdk import Condition, Part

_OLD = "io.kestra.core.models.conditions.types."

Day = Literal["MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY"]
TRIGGER_DATE = "{{ trigger.date }}"
#: Conditions inside a condition, each with its own `type`.
Inner = Annotated[list[dict[str, Any]], msgspec.Meta(min_length=1)]


class TimeWindow(Part, frozen=True):
    """When several upstream executions count as together. Times are ISO times of day."""

    type: Literal["DAILY_TIME_DEADLINE", "DAILY_TIME_WINDOW", "DURATION_WINDOW", "SLIDING_WINDOW"] = "DURATION_WINDOW"
    deadline: str | None = None
    start_time: str | None = None
    end_time: str | None = None
    window: timedelta | None = None
    window_advance: timedelta | None = None


class DateTimeBetween(Condition):
    """The date lies after one and before another instant."""

    TYPE = "core.condition.DateTimeBetween"
    ALIASES = ("core.condition.DateTimeBetweenCondition", _OLD + "DateTimeBetweenCondition")

    date: str = TRIGGER_DATE
    after: str | None = None
    before: str | None = None


class DayWeek(Condition):
    """The date is this day of the week."""

    TYPE = "core.condition.DayWeek"
    ALIASES = ("core.condition.DayWeekCondition", _OLD + "DayWeekCondition")

    day_of_week: Day
    date: str = TRIGGER_DATE


class DayWeekInMonth(Condition):
    """The date is, for example, the last Monday of its month."""

    TYPE = "core.condition.DayWeekInMonth"
    ALIASES = ("core.condition.DayWeekInMonthCondition", _OLD + "DayWeekInMonthCondition")

    day_of_week: Day
    day_in_month: Literal["FIRST", "SECOND", "THIRD", "FOURTH", "LAST"]
    date: str = TRIGGER_DATE


class ExecutionFlow(Condition):
    """The execution belongs to this flow."""

    TYPE = "core.condition.ExecutionFlow"
    ALIASES = ("core.condition.ExecutionFlowCondition", _OLD + "ExecutionFlowCondition")

    namespace: str
    flow_id: str


class ExecutionLabels(Condition):
    """The execution carries all of these labels."""

    TYPE = "core.condition.ExecutionLabels"
    ALIASES = ("core.condition.ExecutionLabelsCondition", _OLD + "ExecutionLabelsCondition")

    labels: LabelsProperty


class ExecutionNamespace(Condition):
    """The execution's namespace equals, starts or ends with this one."""

    TYPE = "core.condition.ExecutionNamespace"
    ALIASES = ("core.condition.ExecutionNamespaceCondition", _OLD + "ExecutionNamespaceCondition")

    namespace: str
    comparison: Literal["EQUALS", "PREFIX", "SUFFIX"] | None = None
    prefix: bool = False


class ExecutionOutputs(Condition):
    """An expression over the execution's outputs is true."""

    TYPE = "core.condition.ExecutionOutputs"
    ALIASES = ("core.condition.ExecutionOutputsCondition", _OLD + "ExecutionOutputsCondition")

    expression: str


class ExecutionStatus(Condition):
    """The execution's state is among (or not among) these."""

    TYPE = "core.condition.ExecutionStatus"
    ALIASES = ("core.condition.ExecutionStatusCondition", _OLD + "ExecutionStatusCondition")

    in_: list[StateName] | None = None
    not_in: list[StateName] | None = None


class Expression(Condition):
    """An expression is true."""

    TYPE = "core.condition.Expression"
    ALIASES = (
        "core.condition.ExpressionCondition",
        "core.condition.VariableCondition",
        _OLD + "ExpressionCondition",
        _OLD + "VariableCondition",
    )

    expression: str


class FlowCondition(Condition):
    """The flow is this one."""

    TYPE = "core.condition.FlowCondition"
    ALIASES = (_OLD + "FlowCondition",)
    DEPRECATED = True

    namespace: str
    flow_id: str


class FlowNamespaceCondition(Condition):
    """The flow is in this namespace."""

    TYPE = "core.condition.FlowNamespaceCondition"
    ALIASES = (_OLD + "FlowNamespaceCondition",)
    DEPRECATED = True

    namespace: str
    prefix: bool = False


class HasRetryAttempt(Condition):
    """Some task run of the execution has an attempt in one of these states."""

    TYPE = "core.condition.HasRetryAttempt"
    ALIASES = ("core.condition.HasRetryAttemptCondition", _OLD + "HasRetryAttemptCondition")

    in_: list[StateName] | None = None
    not_in: list[StateName] | None = None


class MultipleCondition(Condition):
    """Several conditions, each fulfilled by an execution of its own, within a window of time."""

    TYPE = "core.condition.MultipleCondition"
    ALIASES = (_OLD + "MultipleCondition",)
    DEPRECATED = True

    id: str
    conditions: dict[str, dict[str, Any]]
    reset_on_success: bool = True
    time_window: TimeWindow = TimeWindow()
    window: timedelta | None = None
    window_advance: timedelta | None = None


class Not(Condition):
    """None of the conditions holds."""

    TYPE = "core.condition.Not"
    ALIASES = ("core.condition.NotCondition", _OLD + "NotCondition")

    conditions: Inner


class Or(Condition):
    """At least one of the conditions holds."""

    TYPE = "core.condition.Or"
    ALIASES = ("core.condition.OrCondition", _OLD + "OrCondition")

    conditions: Inner


class PublicHoliday(Condition):
    """The date is a public holiday of a country (ISO 3166 alpha-2), or of a part of it."""

    TYPE = "core.condition.PublicHoliday"
    ALIASES = ("core.condition.PublicHolidayCondition", _OLD + "PublicHolidayCondition")

    date: str = TRIGGER_DATE
    country: str | None = None
    sub_division: str | None = None


class TimeBetween(Condition):
    """The time of day lies between two ISO times."""

    TYPE = "core.condition.TimeBetween"
    ALIASES = ("core.condition.TimeBetweenCondition", _OLD + "TimeBetweenCondition")

    date: str = TRIGGER_DATE
    after: str | None = None
    before: str | None = None


class Weekend(Condition):
    """The date is a Saturday or a Sunday."""

    TYPE = "core.condition.Weekend"
    ALIASES = ("core.condition.WeekendCondition", _OLD + "WeekendCondition")

    date: str = TRIGGER_DATE


TASKS = [
    DateTimeBetween,
    DayWeek,
    DayWeekInMonth,
    ExecutionFlow,
    ExecutionLabels,
    ExecutionNamespace,
    ExecutionOutputs,
    ExecutionStatus,
    Expression,
    FlowCondition,
    FlowNamespaceCondition,
    HasRetryAttempt,
    MultipleCondition,
    Not,
    Or,
    PublicHoliday,
    TimeBetween,
    Weekend,
]
