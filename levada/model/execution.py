"""An execution and its task runs: the state that the event log folds to.

These are the only mutable structures of the model. `engine.evolve` is the only code that changes them, and it changes
nothing but what the event says, so `fold(events) == snapshot` holds. Whoever holds an `Execution` owns it alone.

Times are epoch microseconds (UTC). Everything is plain data that msgspec encodes; the in-memory indexes of `Execution`
(`task_runs`, `tree`, `dirty`) are rebuilt from the rows and never stored with the head.
"""

from typing import Any

import msgspec

from levada.model.states import State

History = list[tuple[State, int]]


class Attempt(msgspec.Struct, omit_defaults=True):
    """One try of a task. `number` is 1-based and never used twice within a task run."""

    number: int
    state: State
    history: History
    worker: str | None = None
    log_file: str | None = None


class Progress(msgspec.Struct, omit_defaults=True):
    """Where a container stands. Counters, so that nothing ever rescans its children.

    `stage` is main, errors, finally or (the execution itself) after. `running` children of the stage have not ended;
    `next` is the position (sequence, parallel) or iteration (loops) to start next; `worst` holds the worst end state
    per stage; `done` the states by task id where order depends on them (Dag only, else None; RUNNING: not ended yet).
    """

    stage: str = "main"
    running: int = 0
    next: int = 0
    ended: int = 0
    worst: dict[str, State] = {}
    done: dict[str, State] | None = None


class TaskRun(msgspec.Struct, omit_defaults=True, kw_only=True):
    """`parent_id`, `branch` and `index` say where in the flow it belongs; `items` are the values a loop goes over.

    `token` is the claim of the present attempt: only a result that carries it is accepted. `conditions` are values of
    control expressions that a worker evaluated. `due` is when a waiting run (retry, pause, sleep) moves by itself.
    """

    id: str
    task_id: str
    state: State
    history: History
    parent_id: str | None = None
    branch: str = "tasks"
    index: int = 0
    value: str | None = None
    iteration: int | None = None
    #: LoopUntil only: the number of its present pass, from 0. Its `iteration` may be its place in a loop around it.
    passes: int = 0
    attempts: list[Attempt] = []
    attempt: int = 0
    token: str | None = None
    outputs: dict[str, Any] | None = None
    progress: Progress | None = None
    items: list[Any] | None = None
    item_keys: list[str] | None = None
    conditions: dict[str, Any] | None = None
    due: int | None = None
    child_execution: str | None = None
    dynamic: bool = False
    warned: bool = False
    #: The message of the last failure, for errors, `why` and retries.
    error: str | None = None


class Origin(msgspec.Struct, omit_defaults=True, kw_only=True, frozen=True):
    """What started the execution: `type` is a trigger or task type; `variables` are read as `trigger.*`."""

    id: str
    type: str
    variables: dict[str, Any] = {}


class Parent(msgspec.Struct, omit_defaults=True, kw_only=True, frozen=True):
    """The task run of another execution that waits for this one.

    `outputs` are expressions of the parent (deprecated) that are rendered with the variables of this execution.
    """

    execution_id: str
    task_run_id: str
    attempt: int = 1
    wait: bool = True
    iteration: int | None = None
    outputs: dict[str, Any] | None = None


class ExecutionHead(msgspec.Struct, omit_defaults=True, kw_only=True):
    """What is stored of an execution beside its task runs. `seq` is the number of the last event applied."""

    id: str
    namespace: str
    flow_id: str
    flow_revision: int
    state: State
    history: History
    created: int
    tenant: str = "main"
    seq: int = 0
    inputs: dict[str, Any] | None = None
    outputs: dict[str, Any] | None = None
    labels: list[tuple[str, str]] = []
    variables: dict[str, Any] | None = None
    trigger: Origin | None = None
    parent: Parent | None = None
    original_id: str | None = None
    scheduled: int | None = None
    kind: str | None = None
    attempt_number: int = 1
    original_created: int | None = None
    #: How many task runs were ever created: the next one's id derives from it.
    runs: int = 0
    progress: Progress = msgspec.field(default_factory=Progress)
    #: The state it will end in once errors, finally and running tasks are done (Exit, SLA, concurrency FAIL).
    ending: State | None = None
    #: A state to return to: a killed paused execution, a manual pause.
    resume_to: State | None = None
    holds_slot: bool = False
    breached: list[str] = []
    restarts: int = 0
    breakpoints: list[str] = []
    error: str | None = None
    trace_parent: str | None = None
    deleted: bool = False

    @property
    def flow_key(self) -> str:
        return f"{self.tenant}/{self.namespace}/{self.flow_id}"

    @property
    def is_terminal(self) -> bool:
        return self.state.is_terminal


class Execution(ExecutionHead, kw_only=True):
    """The aggregate in memory. `tree` is the `outputs` variable; `dirty` the ids of task runs changed since loaded."""

    task_runs: dict[str, TaskRun] = {}
    tree: dict[str, Any] = {}
    dirty: set[str] = set()

    def ancestors(self, run: TaskRun) -> list[TaskRun]:
        """The containers of `run`, innermost first. Raises KeyError when a parent is missing (a defect)."""
        out = []
        while run.parent_id is not None:
            run = self.task_runs[run.parent_id]
            out.append(run)
        return out

    def container(self, run: TaskRun) -> "Progress":
        """The progress of what contains `run`: its parent task run, or the execution itself."""
        if run.parent_id is None:
            return self.progress
        progress = self.task_runs[run.parent_id].progress
        assert progress is not None, f"task run {run.parent_id} contains {run.id} but has no progress"
        return progress
