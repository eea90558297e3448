"""Events: what happened to an execution. The only truth; past tense; never edited.

`engine.evolve` folds them into an `Execution`. The event log has one row per turn, keyed by the number of its first
event. `at` is epoch microseconds. A new shape gets a new tag and code that still reads the old one; tests/golden keeps
the old bytes.
"""

from typing import Any

import msgspec

from levada.model.commands import ChildTask
from levada.model.execution import Origin, Parent, TaskRun
from levada.model.states import State


class _Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type"):
    at: int


class ExecutionCreated(_Event, frozen=True, kw_only=True, tag="execution.created"):
    """`task_runs` are the copied runs of a replay, in order, with their new ids."""

    id: str
    namespace: str
    flow_id: str
    flow_revision: int
    tenant: str = "main"
    inputs: dict[str, Any] | None = None
    labels: list[tuple[str, str]] = []
    variables: dict[str, Any] | None = None
    trigger: Origin | None = None
    parent: Parent | None = None
    original_id: str | None = None
    scheduled: int | None = None
    kind: str | None = None
    attempt_number: int = 1
    original_created: int | None = None
    breakpoints: list[str] = []
    trace_parent: str | None = None
    task_runs: list[TaskRun] = []
    history: list[tuple[State, int]] = []


class ExecutionStateChanged(_Event, frozen=True, kw_only=True, tag="execution.state_changed"):
    state: State
    error: str | None = None
    resume_to: State | None = None


class ExecutionEnding(_Event, frozen=True, kw_only=True, tag="execution.ending"):
    """It will end in `state` once what still runs, errors and finally are done."""

    state: State
    error: str | None = None


class ExecutionOutputsSet(_Event, frozen=True, kw_only=True, tag="execution.outputs_set"):
    outputs: dict[str, Any]


class LabelsSet(_Event, frozen=True, kw_only=True, tag="execution.labels_set"):
    """The whole list after the change."""

    labels: list[tuple[str, str]]


class VariablesSet(_Event, frozen=True, kw_only=True, tag="execution.variables_set"):
    """The whole map of execution variables after the change."""

    variables: dict[str, Any]


class SlotTaken(_Event, frozen=True, kw_only=True, tag="execution.slot_taken"):
    pass


class SlotReleased(_Event, frozen=True, kw_only=True, tag="execution.slot_released"):
    pass


class SlaBreached(_Event, frozen=True, kw_only=True, tag="execution.sla_breached"):
    sla: str


class StageEntered(_Event, frozen=True, kw_only=True, tag="stage.entered"):
    """A container went on to its errors, finally or after tasks. `task_run_id` None: the execution itself."""

    stage: str
    task_run_id: str | None = None


class TaskRunCreated(_Event, frozen=True, kw_only=True, tag="task_run.created"):
    """`container` gives it children of its own; `tracks` makes it remember their end states by task id (Dag)."""

    id: str
    task_id: str
    parent_id: str | None = None
    branch: str = "tasks"
    index: int = 0
    value: str | None = None
    iteration: int | None = None
    container: bool = False
    tracks: bool = False


class TaskRunSubmitted(_Event, frozen=True, kw_only=True, tag="task_run.submitted"):
    """One attempt was handed to the work queue."""

    id: str
    attempt: int


class TaskRunStarted(_Event, frozen=True, kw_only=True, tag="task_run.started"):
    """A worker claimed the attempt, or the executor began it itself (`token` None)."""

    id: str
    attempt: int
    token: str | None = None
    worker: str | None = None


class TaskRunStateChanged(_Event, frozen=True, kw_only=True, tag="task_run.state_changed"):
    """A change that is no end: RUNNING, PAUSED, KILLING, RESTARTED, BREAKPOINT. `due` when a timer will end it."""

    id: str
    state: State
    due: int | None = None


class TaskRunResubmitted(_Event, frozen=True, kw_only=True, tag="task_run.resubmitted"):
    """The worker of the attempt is lost or gave it back; the next attempt follows."""

    id: str
    attempt: int
    reason: str


class TaskRunRetrying(_Event, frozen=True, kw_only=True, tag="task_run.retrying"):
    """The attempt failed and another follows at `due`."""

    id: str
    attempt: int
    due: int
    error: str | None = None
    outputs: dict[str, Any] | None = None
    warn: bool = False


class TaskRunEnded(_Event, frozen=True, kw_only=True, tag="task_run.ended"):
    """`inline` with `started`: the executor ran it in this very turn, so RUNNING is recorded here too."""

    id: str
    state: State
    attempt: int = 0
    outputs: dict[str, Any] | None = None
    error: str | None = None
    started: int | None = None
    inline: bool = False
    log_file: str | None = None


class TaskRunOutputsSet(_Event, frozen=True, kw_only=True, tag="task_run.outputs_set"):
    """Outputs of a run that goes on (subflow id, loop counters, If result). Merged over what is there."""

    id: str
    outputs: dict[str, Any]
    child_execution: str | None = None


class ItemsResolved(_Event, frozen=True, kw_only=True, tag="task_run.items_resolved"):
    """A loop knows its values. `keys` when it goes over a map."""

    id: str
    items: list[Any]
    keys: list[str] | None = None


class ConditionsEvaluated(_Event, frozen=True, kw_only=True, tag="task_run.conditions_evaluated"):
    """A worker evaluated the control expressions that need I/O."""

    id: str
    values: dict[str, Any]


class ChildrenReported(_Event, frozen=True, kw_only=True, tag="task_run.children_reported"):
    """Task runs that a worker made by itself under `id`; ids derive from (id, key)."""

    id: str
    children: list[ChildTask]


class IterationRestarted(_Event, frozen=True, kw_only=True, tag="task_run.iteration_restarted"):
    """A LoopUntil begins its next pass: the task runs of the last pass go, its counters start again."""

    id: str
    iteration: int
    removed: list[str] = []


class ExecutionRewound(_Event, frozen=True, kw_only=True, tag="execution.rewound"):
    """A restart or a changed task run state: runs in `removed` are gone, `states` are set, containers recounted."""

    removed: list[str] = []
    states: list[tuple[str, State]] = []
    state: State = State.RESTARTED
    flow_revision: int | None = None
    restart: bool = False
    #: The attempt of the parent's task run that asked for the restart; each asks once.
    parent_attempt: int | None = None


class ExecutionAdopted(_Event, frozen=True, kw_only=True, tag="execution.adopted"):
    """A further attempt of the parent's task run waits for this execution, which goes on as it is."""

    parent_attempt: int


class ExecutionDeleted(_Event, frozen=True, kw_only=True, tag="execution.deleted"):
    pass


Event = (
    ExecutionCreated
    | ExecutionStateChanged
    | ExecutionEnding
    | ExecutionOutputsSet
    | LabelsSet
    | VariablesSet
    | SlotTaken
    | SlotReleased
    | SlaBreached
    | StageEntered
    | TaskRunCreated
    | TaskRunSubmitted
    | TaskRunStarted
    | TaskRunStateChanged
    | TaskRunResubmitted
    | TaskRunRetrying
    | TaskRunEnded
    | TaskRunOutputsSet
    | ItemsResolved
    | ConditionsEvaluated
    | ChildrenReported
    | IterationRestarted
    | ExecutionRewound
    | ExecutionAdopted
    | ExecutionDeleted
)

encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Event).decode
