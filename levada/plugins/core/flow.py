"""Control structures, `core.flow.*`: the declarations of what the engine's flowables read.

Branches of tasks are not properties; each class names them. The meaning is in levada/engine/flowables.
"""

import asyncio
from datetime import timedelta
from typing import Annotated, Any, ClassVar, Literal

import msgspec

from levada.plugins.core.vocabulary import LabelsProperty, NamespaceFilesProperty, NonEmpty
from levada.sdk import FlowableTask, InlineTask, Part, RunContext

#: How many children may run at a time; 0 means no limit.
Limit = Annotated[int, msgspec.Meta(ge=0)]
RestartBehavior = Literal["NEW_EXECUTION", "RETRY_FAILED"]


class Sequential(FlowableTask):
    """Runs tasks one after the other."""

    TYPE = "core.flow.Sequential"
    ALIASES = ("io.kestra.core.tasks.flows.Sequential",)


class Parallel(FlowableTask):
    """Runs tasks side by side."""

    TYPE = "core.flow.Parallel"
    ALIASES = ("io.kestra.core.tasks.flows.Parallel",)

    concurrent: Limit = 0


class Dag(FlowableTask):
    """Runs each task once those it depends on have ended well."""

    TYPE = "core.flow.Dag"
    ALIASES = ("io.kestra.core.tasks.flows.Dag",)
    DAG = True

    concurrent: Limit = 0


class If(FlowableTask):
    """Runs `then` or `else`."""

    TYPE = "core.flow.If"
    ALIASES = ("io.kestra.core.tasks.flows.If",)
    BRANCHES = ("then", "else", "errors", "finally")
    REQUIRED = ("then",)

    condition: str | None = None


class Switch(FlowableTask):
    """Runs the case whose key equals the value, else `defaults`."""

    TYPE = "core.flow.Switch"
    ALIASES = ("io.kestra.core.tasks.flows.Switch",)
    BRANCHES = ("defaults", "errors", "finally")
    REQUIRED: ClassVar[tuple[str, ...]] = ()
    CASES = "cases"

    value: str


class ForEach(FlowableTask):
    """Runs its tasks once per value, in the same execution."""

    TYPE = "core.flow.ForEach"

    values: str | list[Any]
    concurrency_limit: Limit = 1


class EachSequential(FlowableTask):
    """Older form of ForEach, one value after the other."""

    TYPE = "core.flow.EachSequential"
    ALIASES = ("io.kestra.core.tasks.flows.EachSequential",)
    DEPRECATED = True

    value: str | list[Any]


class EachParallel(FlowableTask):
    """Older form of ForEach, all values at once."""

    TYPE = "core.flow.EachParallel"
    ALIASES = ("io.kestra.core.tasks.flows.EachParallel",)
    DEPRECATED = True

    value: str | list[Any]
    concurrent: Limit = 0


class LoopOutput(Part, frozen=True):
    """One value that a Loop collects from each iteration."""

    id: NonEmpty
    value: Any
    type: str | None = None
    required: bool = True
    display_name: str | None = None
    description: str | None = None


class Loop(FlowableTask):
    """Runs its tasks once per value, each iteration as an execution of its own (2.0)."""

    TYPE = "core.flow.Loop"

    values: str | list[Any] | dict[str, Any]
    concurrency_limit: Limit = 1
    transmit_failed: bool = True
    outputs: list[LoopOutput] | None = None
    fetch_type: Literal["AUTO", "FETCH", "STORE"] = "AUTO"


class CheckFrequency(Part, frozen=True):
    interval: timedelta = timedelta(minutes=1)
    max_duration: timedelta | None = None
    max_iterations: int | None = None


class LoopUntil(FlowableTask):
    """Repeats its tasks until the condition holds."""

    TYPE = "core.flow.LoopUntil"
    ALIASES = ("core.flow.WaitFor", "io.kestra.core.tasks.flows.WaitFor")

    condition: str
    check_frequency: CheckFrequency = CheckFrequency()
    fail_on_max_reached: bool = False


class Pause(FlowableTask):
    """Waits for a person or for time to pass. `delay` is the old name of `pauseDuration`."""

    TYPE = "core.flow.Pause"
    ALIASES = ("io.kestra.core.tasks.flows.Pause",)
    REQUIRED: ClassVar[tuple[str, ...]] = ()
    SINGLE = ("onPause",)
    DEPRECATED_PROPERTIES = frozenset({"delay", "tasks"})

    pause_duration: timedelta | None = None
    delay: timedelta | None = None
    behavior: Literal["RESUME", "WARN", "CANCEL", "FAIL"] = "RESUME"
    on_resume: list[dict[str, Any]] | None = None


class Batch(Part, frozen=True):
    """How ForEachItem cuts its file: into so many rows, bytes or parts, or by what a pattern matches."""

    rows: int | None = None
    bytes: str | int | None = None
    partitions: int | None = None
    regex_pattern: str | None = None
    separator: str = "\n"


class ForEachItem(FlowableTask):
    """Cuts a file into batches and starts one subflow per batch."""

    TYPE = "core.flow.ForEachItem"
    ALIASES = ("io.kestra.core.tasks.flows.ForEachItem",)
    BRANCHES = ("errors", "finally")
    REQUIRED: ClassVar[tuple[str, ...]] = ()

    items: NonEmpty
    namespace: NonEmpty
    flow_id: NonEmpty
    batch: Batch = Batch(rows=1)
    revision: int | None = None
    inputs: dict[str, Any] | None = None
    labels: LabelsProperty | None = None
    inherit_labels: bool = False
    wait: bool = True
    transmit_failed: bool = True
    schedule_date: str | None = None
    restart_behavior: RestartBehavior = "RETRY_FAILED"


class Subflow(FlowableTask):
    """Starts another flow and, by default, waits for its end."""

    TYPE = "core.flow.Subflow"
    ALIASES = ("core.flow.Flow", "io.kestra.core.tasks.flows.Flow", "io.kestra.core.tasks.flows.Subflow")
    BRANCHES: ClassVar[tuple[str, ...]] = ()
    REQUIRED: ClassVar[tuple[str, ...]] = ()
    DEPRECATED_PROPERTIES = frozenset({"outputs"})

    namespace: NonEmpty
    flow_id: NonEmpty
    revision: Annotated[int, msgspec.Meta(ge=1)] | None = None
    inputs: dict[str, Any] | None = None
    labels: LabelsProperty | None = None
    inherit_labels: bool = False
    wait: bool = True
    transmit_failed: bool = True
    schedule_date: str | None = None
    restart_behavior: RestartBehavior = "RETRY_FAILED"
    outputs: dict[str, Any] | None = None


class Cache(Part, frozen=True):
    """Files kept from one run of a WorkingDirectory to the next."""

    patterns: list[str]
    ttl: timedelta | None = None


class WorkingDirectory(FlowableTask):
    """Runs its tasks one after the other on one worker, in one folder."""

    TYPE = "core.flow.WorkingDirectory"
    ALIASES = ("io.kestra.core.tasks.flows.Worker", "io.kestra.core.tasks.flows.WorkingDirectory")

    input_files: dict[str, Any] | list[str] | str | None = None
    output_files: list[str] | None = None
    namespace_files: NamespaceFilesProperty | None = None
    cache: Cache | None = None


class AllowFailure(FlowableTask):
    """Turns a failure inside into a warning."""

    TYPE = "core.flow.AllowFailure"
    ALIASES = ("io.kestra.core.tasks.flows.AllowFailure",)


class Template(FlowableTask):
    """Runs the tasks of a stored template (Kestra 0.x)."""

    TYPE = "core.flow.Template"
    ALIASES = ("io.kestra.core.tasks.flows.Template",)
    BRANCHES = ("errors", "finally")
    REQUIRED: ClassVar[tuple[str, ...]] = ()
    DEPRECATED = True

    namespace: str
    template_id: str
    args: dict[str, Any] | None = None


class Sleep(InlineTask):
    """Waits for a while without holding a worker."""

    TYPE = "core.flow.Sleep"

    duration: timedelta

    async def run(self, ctx: RunContext) -> None:
        """Serves inside a WorkingDirectory, where the worker is held anyway."""
        await asyncio.sleep(self.duration.total_seconds())


TASKS = [
    Sequential,
    Parallel,
    Dag,
    If,
    Switch,
    ForEach,
    EachSequential,
    EachParallel,
    Loop,
    LoopUntil,
    Pause,
    ForEachItem,
    Subflow,
    WorkingDirectory,
    AllowFailure,
    Template,
    Sleep,
]
