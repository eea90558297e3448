"""`core.execution.*`: what a task may do to its own execution, and to others.

The executor evaluates the former (Fail and Assert have a `run` for use inside a WorkingDirectory); the latter go through
`ctx.control`, with the rights of the flow's namespace.
"""

from typing import Annotated, Any, Literal

import msgspec

from levada import expr
from levada.plugins.core.vocabulary import StateName, moment_us
from levada.sdk import InlineTask, Outputs, Part, RunContext, Task, TaskFailed


class Fail(InlineTask):
    """Fails, always or when the condition is true."""

    TYPE = "core.execution.Fail"
    ALIASES = ("io.kestra.core.tasks.executions.Fail",)

    condition: str | None = None
    error_message: str = "Task failure"

    async def run(self, ctx: RunContext) -> None:
        """Raises TaskFailed, which is its purpose."""
        if self.condition is None or expr.truthy(self.condition):
            raise TaskFailed(self.error_message)


class Assert(InlineTask):
    """Fails unless every condition is true."""

    TYPE = "core.execution.Assert"

    conditions: list[str]
    error_message: str | None = None

    async def run(self, ctx: RunContext) -> None:
        """Raises TaskFailed when a condition does not hold."""
        failed = [number for number, held in enumerate(self.conditions, 1) if not expr.truthy(held)]
        ctx.counter("failed", len(failed))
        ctx.counter("success", len(self.conditions) - len(failed))
        for number in failed:
            ctx.log("ERROR", f"Assertion failed: condition {number}")
        if failed:
            plural = "s" if len(failed) > 1 else ""
            raise TaskFailed(self.error_message or f"{len(failed)} assertion{plural} failed")


class Exit(InlineTask):
    """Ends the execution in a state."""

    TYPE = "core.execution.Exit"

    state: Literal["SUCCESS", "WARNING", "KILLED", "FAILED", "CANCELED", "CANCELLED"] = "SUCCESS"


class Labels(InlineTask):
    """Adds labels to the execution."""

    TYPE = "core.execution.Labels"
    ALIASES = ("io.kestra.core.tasks.executions.Labels",)

    labels: str | list[Any] | dict[str, Any]


class SetVariables(InlineTask):
    """Merges values into the execution's variables."""

    TYPE = "core.execution.SetVariables"

    variables: dict[str, Any]
    overwrite: bool = True


class UnsetVariables(InlineTask):
    """Removes variables by their dotted paths."""

    TYPE = "core.execution.UnsetVariables"

    variables: list[str]
    ignore_missing: bool = False


class FlowReference(Part, frozen=True):
    namespace: str
    flow_id: str


class FlowCount(Outputs):
    namespace: str
    count: int
    flow_id: str | None = None


class CountOutputs(Outputs):
    results: list[FlowCount]
    total: int


class Count(Task):
    """Counts executions per flow (or per namespace) and keeps those counts for which the expression is true."""

    TYPE = "core.execution.Count"
    ALIASES = ("io.kestra.core.tasks.executions.Counts",)
    RAW = frozenset({"expression"})
    DEPRECATED = True

    expression: str
    start_date: str
    end_date: str | None = None
    flows: list[FlowReference] | None = None
    namespaces: list[str] | None = None
    states: list[StateName] | None = None

    async def run(self, ctx: RunContext) -> CountOutputs:
        """The expression reads `count`. Raises TaskFailed unless either flows or namespaces are named."""
        if bool(self.flows) == bool(self.namespaces):
            raise TaskFailed("say whose executions to count: either `flows` or `namespaces` is needed")
        arguments = {
            "flows": [{"namespace": flow.namespace, "flowId": flow.flow_id} for flow in self.flows or []] or None,
            "namespaces": self.namespaces,
            "states": self.states,
            "startUs": moment_us("startDate", self.start_date),
            "endUs": moment_us("endDate", self.end_date),
        }
        answer = await ctx.control.call("executions.count", arguments)
        results = [
            FlowCount(namespace=entry["namespace"], flow_id=entry.get("flowId"), count=entry["count"])
            for entry in answer
            if expr.truthy(await ctx.render(self.expression, {"count": entry["count"]}))
        ]
        return CountOutputs(results=results, total=sum(result.count for result in results))


class Resume(Task):
    """Resumes a paused execution."""

    TYPE = "core.execution.Resume"
    DEPRECATED = True

    execution_id: str | None = None
    namespace: str | None = None
    flow_id: str | None = None
    inputs: dict[str, Any] | None = None

    async def run(self, ctx: RunContext) -> None:
        """Raises TaskFailed without `executionId` and UserError when that execution is not paused."""
        if not self.execution_id:
            raise TaskFailed("property `executionId` is required: which execution shall be resumed?")
        await ctx.control.call("executions.resume", {"executionId": self.execution_id, "inputs": self.inputs or {}})


class PurgeOutputs(Outputs):
    executions_count: int
    logs_count: int
    metrics_count: int
    storages_count: int


class PurgeExecutions(Task):
    """Deletes ended executions with what belongs to them."""

    TYPE = "core.execution.PurgeExecutions"
    ALIASES = ("io.kestra.core.tasks.storages.Purge", "core.storage.Purge")

    end_date: str
    start_date: str | None = None
    namespace: str | None = None
    flow_id: str | None = None
    states: list[StateName] | None = None
    purge_execution: bool = True
    purge_log: bool = True
    purge_metric: bool = True
    purge_storage: bool = True
    batch_size: Annotated[int, msgspec.Meta(ge=1)] = 100

    async def run(self, ctx: RunContext) -> PurgeOutputs:
        """Executions that still run stay. Raises UserError when a date is none."""
        arguments = {
            "namespace": self.namespace,
            "flowId": self.flow_id,
            "states": self.states,
            "startUs": moment_us("startDate", self.start_date),
            "endUs": moment_us("endDate", self.end_date),
            "purgeExecution": self.purge_execution,
            "purgeLog": self.purge_log,
            "purgeMetric": self.purge_metric,
            "purgeStorage": self.purge_storage,
            "batchSize": self.batch_size,
        }
        answer = await ctx.control.call("executions.purge", arguments)
        return PurgeOutputs(
            executions_count=answer["executionsCount"],
            logs_count=answer["logsCount"],
            metrics_count=answer["metricsCount"],
            storages_count=answer["storagesCount"],
        )


TASKS = [Fail, Assert, Exit, Labels, SetVariables, UnsetVariables, Count, Resume, PurgeExecutions]
