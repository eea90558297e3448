"""`core.execution.*`: what a task may do to its own execution (evaluated by the executor) and to others (through `control`)."""

from typing import Annotated, Any, Literal

import msgspec

from levada.plugins.core.vocabulary import StateName
from levada.sdk import InlineTask, Outputs, Part, Task


class Fail(InlineTask):
    """Fails, always or when the condition is true."""

    TYPE = "core.execution.Fail"
    ALIASES = ("io.kestra.core.tasks.executions.Fail",)

    condition: str | None = None
    error_message: str = "Task failure"


class Assert(InlineTask):
    """Fails unless every condition is true."""

    TYPE = "core.execution.Assert"

    conditions: list[str]
    error_message: str | None = None


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
    flow_id: str
    count: int


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


class Resume(Task):
    """Resumes a paused execution."""

    TYPE = "core.execution.Resume"
    DEPRECATED = True

    execution_id: str | None = None
    namespace: str | None = None
    flow_id: str | None = None
    inputs: dict[str, Any] | None = None


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


TASKS = [Fail, Assert, Exit, Labels, SetVariables, UnsetVariables, Count, Resume, PurgeExecutions]
