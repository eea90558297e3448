"""What starts flows, `core.trigger.*`, and the task that switches a trigger on or off.

The declarations carry both dialects: conditions and preconditions of 1.x, dependsOn and window of 2.0. Properties that
all triggers have (`conditions`, `when`, `stopAfter`, `labels` …) are not listed; the flow file reader takes them out.
"""

from datetime import timedelta
from typing import Annotated, Any, Literal

import msgspec

from levada.plugins.core.condition import TimeWindow
from levada.plugins.core.vocabulary import StateName
from levada.sdk import Part, RunContext, Task, Trigger

_OLD = "io.kestra.core.models.triggers.types."

RecoverMissed = Literal["ALL", "LAST", "NONE"]


class Schedule(Trigger):
    """Starts at the dates of a cron expression. `timezone` None: the server's zone."""

    TYPE = "core.trigger.Schedule"
    ALIASES = (_OLD + "Schedule",)
    DEPRECATED_PROPERTIES = frozenset({"backfill", "scheduleConditions"})

    cron: str
    with_seconds: bool = False
    timezone: str | None = None
    late_maximum_delay: timedelta | None = None
    recover_missed_schedules: RecoverMissed | None = None
    backfill: dict[str, Any] | None = None
    schedule_conditions: list[dict[str, Any]] | None = None


class ScheduleOnDates(Trigger):
    """Starts at listed dates."""

    TYPE = "core.trigger.ScheduleOnDates"

    dates: list[str]
    timezone: str | None = None
    recover_missed_schedules: RecoverMissed | None = None


class UpstreamFlow(Part, frozen=True):
    """One upstream flow of `preconditions.flows`."""

    namespace: str
    flow_id: str | None = None
    states: list[StateName] | None = None
    labels: dict[str, Any] | None = None


class Filter(Part, frozen=True):
    """One test of an upstream execution."""

    field: Literal["FLOW_ID", "NAMESPACE", "STATE", "EXPRESSION"]
    type: Literal[
        "EQUAL_TO",
        "NOT_EQUAL_TO",
        "IN",
        "NOT_IN",
        "IS_TRUE",
        "IS_FALSE",
        "IS_NULL",
        "IS_NOT_NULL",
        "STARTS_WITH",
        "ENDS_WITH",
        "REGEX",
        "CONTAINS",
    ]
    value: str | None = None
    values: list[str] | None = None


class ExecutionFilter(Part, frozen=True):
    """Tests of an upstream execution, all or any of them."""

    id: Annotated[str, msgspec.Meta(min_length=1)]
    filters: Annotated[list[Filter], msgspec.Meta(min_length=1)]
    operand: Literal["AND", "OR"] = "AND"


class Preconditions(Part, frozen=True):
    """Which upstream executions must come together (1.x)."""

    id: Annotated[str, msgspec.Meta(min_length=1, pattern=r"^[a-zA-Z0-9][a-zA-Z0-9_-]*$")]
    flows: list[UpstreamFlow] | None = None
    where: list[ExecutionFilter] | None = None
    time_window: TimeWindow = TimeWindow()
    reset_on_success: bool = True


class Dependency(Part, frozen=True):
    """One upstream flow of `dependsOn` (2.0)."""

    namespace: str | None = None
    flow_id: str | None = None
    states: list[StateName] | None = None
    labels: dict[str, Any] | list[Any] | None = None
    when: str | None = None


class Window(Part, frozen=True):
    """The time within which dependencies must come together (2.0): one of deadline, from and to, every, lookback."""

    deadline: str | None = None
    from_: str | None = None
    to: str | None = None
    every: timedelta | None = None
    offset: timedelta | None = None
    lookback: timedelta | None = None


class OnMiss(Part, frozen=True):
    """What happens when a window passes without all dependencies (2.0)."""

    behavior: Literal["FAIL"] = "FAIL"
    labels: dict[str, Any] | list[Any] | None = None


class Flow(Trigger):
    """Starts when executions of other flows reach a state. `states` None: every end state and PAUSED."""

    TYPE = "core.trigger.Flow"
    ALIASES = (_OLD + "Flow",)

    states: list[StateName] | None = None
    preconditions: Preconditions | None = None
    depends_on: list[Dependency] | None = None
    mode: Literal["ALL", "ANY", "AT_LEAST"] = "ALL"
    min_satisfied: Annotated[int, msgspec.Meta(ge=1)] | None = None
    window: Window | None = None
    on_miss: OnMiss | None = None


class Webhook(Trigger):
    """Starts on an HTTP request that knows the key."""

    TYPE = "core.trigger.Webhook"
    ALIASES = (_OLD + "Webhook",)

    key: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
    wait: bool = False
    return_outputs: bool = False
    response_content_type: Literal["application/json", "text/plain"] | None = None
    response_code: Annotated[int, msgspec.Meta(ge=100, le=599)] | None = None
    fetch_type: Literal["FETCH", "STORE"] = "FETCH"


class Toggle(Task):
    """Switches a trigger on or off; by default one of the running flow."""

    TYPE = "core.trigger.Toggle"
    ALIASES = ("io.kestra.core.tasks.trigger.Toggle",)
    DEPRECATED = True

    trigger: str
    enabled: bool = False
    namespace: str | None = None
    flow_id: str | None = None

    async def run(self, ctx: RunContext) -> None:
        """Raises UserError when the flow has no such trigger."""
        namespace, flow_id = self.namespace or ctx.namespace, self.flow_id or ctx.flow_id
        await ctx.control.call(
            "triggers.toggle",
            {"namespace": namespace, "flowId": flow_id, "triggerId": self.trigger, "enabled": self.enabled},
        )
        state = "enabled" if self.enabled else "disabled"
        ctx.log("INFO", f"trigger {self.trigger} of {namespace}.{flow_id} is now {state}")


TASKS = [Schedule, ScheduleOnDates, Flow, Webhook, Toggle]
