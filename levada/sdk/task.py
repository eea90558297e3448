"""What a plugin author subclasses: `Task`.

    class Request(Task):
        TYPE = "core.http.Request"
        uri: str
        method: str = "GET"

        async def run(self, ctx: RunContext) -> RequestOutputs: ...

Fields are the task's properties under Kestra's names (camelCase through `rename`), typed with what they are *after*
rendering. The worker renders every string of the properties, converts to the field's type (text to number, boolean,
list, map; ISO text to `Duration`) and calls `run`. Properties in `RAW` are handed over unrendered. Unknown properties
and missing ones are errors at save time with line and column. Plugin families list their classes in `TASKS`.

A task returns a struct, a dict or None (its outputs), or `Outcome` to end in WARNING. It fails by raising `TaskFailed`
(or any `UserError`); anything else that escapes is reported as FAILED with the exception's text.
"""

from typing import Any, ClassVar

import msgspec

from levada.model.errors import UserError
from levada.sdk.context import RunContext


class TaskFailed(UserError):
    """The task failed. `outputs` are published all the same."""

    def __init__(self, message: str, outputs: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.outputs = outputs


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """An end that is not plain success: `state` SUCCESS, WARNING or SKIPPED."""

    state: str
    outputs: Any = None


class Part(msgspec.Struct, kw_only=True, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Base of objects inside properties (`options.timeout`): camelCase, unknown names refused. Say `frozen=True` again."""


class Outputs(msgspec.Struct, kw_only=True, rename="camel", omit_defaults=True):
    """Base of what tasks return: camelCase; fields declared `= None` are left out while they are None."""


class Task(msgspec.Struct, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Base of every task type that a worker runs."""

    TYPE: ClassVar[str]
    ALIASES: ClassVar[tuple[str, ...]] = ()
    #: Properties (by their YAML name) that the worker must not render.
    RAW: ClassVar[frozenset[str]] = frozenset()
    #: True when the type is deprecated in Kestra 1.x; `validate` warns.
    DEPRECATED: ClassVar[bool] = False
    #: Optional property names that are deprecated, for the same warning.
    DEPRECATED_PROPERTIES: ClassVar[frozenset[str]] = frozenset()

    async def run(self, ctx: RunContext) -> Any:
        """Do the work. Runs on a worker; may take as long as the task's timeout allows."""
        raise NotImplementedError(f"{self.TYPE} has no worker part")


class InlineTask(Task):
    """A task that the executor itself evaluates (engine/inline.py); the class declares its properties.

    Its `run` serves where only a worker can: inside a WorkingDirectory, and with `logToFile`. Types that change the
    execution have none.
    """

    async def run(self, ctx: RunContext) -> Any:
        """Raises UserError unless the type can do its work on a worker."""
        raise UserError(f"{self.TYPE} changes the execution; it cannot run inside a WorkingDirectory")


class FlowableTask(Task):
    """A task that orders other tasks (engine/flowables/); the class only declares its properties.

    `BRANCHES` names the properties that hold lists of tasks. Three special shapes: Switch.cases (map of lists), Dag.tasks
    (list of {task, dependsOn}) and Pause.onPause (one task); the flow file reader knows them by `CASES`, `DAG`, `SINGLE`.
    `REQUIRED` names the branches without which the task makes no sense.
    """

    BRANCHES: ClassVar[tuple[str, ...]] = ("tasks", "errors", "finally")
    REQUIRED: ClassVar[tuple[str, ...]] = ("tasks",)
    CASES: ClassVar[str | None] = None
    DAG: ClassVar[bool] = False
    SINGLE: ClassVar[tuple[str, ...]] = ()


class Trigger(msgspec.Struct, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Base of trigger types: declares the properties beside those common to all triggers."""

    TYPE: ClassVar[str]
    ALIASES: ClassVar[tuple[str, ...]] = ()
    #: Properties (by their YAML name) that are not rendered before the trigger is evaluated.
    RAW: ClassVar[frozenset[str]] = frozenset()
    DEPRECATED: ClassVar[bool] = False
    DEPRECATED_PROPERTIES: ClassVar[frozenset[str]] = frozenset()


class PollingTrigger(Trigger):
    """A trigger that looks for something on a worker every `interval`; what it finds becomes `trigger.*`.

    Each class declares `interval: timedelta` itself (a base with fields could not be mixed with shared properties).
    """

    async def poll(self, ctx: RunContext) -> Any:
        """Look once. Return the trigger's outputs (struct or dict) to start an execution, None to start nothing."""
        raise NotImplementedError(f"{self.TYPE} has no worker part")


class Condition(msgspec.Struct, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Base of the 1.x condition types of triggers."""

    TYPE: ClassVar[str]
    ALIASES: ClassVar[tuple[str, ...]] = ()
    DEPRECATED: ClassVar[bool] = False
