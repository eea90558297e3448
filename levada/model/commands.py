"""Commands: what is asked of an execution. The bus carries them to the executor, keyed by execution id.

A command is a wish; `engine.decide` answers it with events, or raises `UserError` and nothing changes. Every command may
arrive twice or late: natural keys (attempt and token, timer sequence) make the second one a no-op. Imperative names.

Wire format: msgspec tagged union, field `type`. A new shape gets a new tag; unknown tags are parked as dead letters.
"""

from typing import Any

import msgspec

from levada.model.execution import Origin, Parent
from levada.model.states import State


class _Command(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type"):
    execution_id: str


class StartExecution(_Command, frozen=True, kw_only=True, tag="start_execution"):
    """`inputs` are resolved and typed already when `resolved`, else the engine resolves them (subflows, triggers).

    `replay_of` copies the task runs of another execution up to `replay_from` (a task run id; None: from the start).
    """

    namespace: str
    flow_id: str
    tenant: str = "main"
    flow_revision: int | None = None
    inputs: dict[str, Any] | None = None
    resolved: bool = False
    labels: list[tuple[str, str]] = []
    trigger: Origin | None = None
    parent: Parent | None = None
    scheduled: int | None = None
    kind: str | None = None
    original_id: str | None = None
    attempt_number: int = 1
    original_created: int | None = None
    replay_of: str | None = None
    replay_from: str | None = None
    #: With `replay_of`: take everything over but what failed, which runs again (restart on another revision).
    replay_failed: bool = False
    breakpoints: list[str] = []
    trace_parent: str | None = None
    #: A start that must be visible but can not run: the execution is created and ends FAILED with this message.
    failure: str | None = None
    correlation_id: str | None = None


class TaskStarted(_Command, frozen=True, kw_only=True, tag="task_started"):
    """A worker claimed the attempt; `token` proves it from now on."""

    task_run_id: str
    attempt: int
    token: str
    worker: str
    at: int


class ChildTask(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A task run that a worker made by itself: a child of WorkingDirectory, or one dbt node."""

    key: str
    task_id: str
    state: State
    history: list[tuple[State, int]]
    outputs: dict[str, Any] | None = None
    value: str | None = None
    index: int = 0
    attempts: int = 1
    error: str | None = None


class TaskProgressed(_Command, frozen=True, kw_only=True, tag="task_progressed"):
    """Children of a running task changed; states of the task itself do not."""

    task_run_id: str
    attempt: int
    token: str
    children: list[ChildTask]


class TaskFinished(_Command, frozen=True, kw_only=True, tag="task_finished"):
    """The result of one attempt. `state` is SUCCESS, WARNING, FAILED, KILLED or SKIPPED (`error` says why it failed).

    `released` means the worker gave the attempt back untouched (shutdown): it is submitted again, not failed.
    """

    task_run_id: str
    attempt: int
    token: str
    state: State
    at: int
    started: int | None = None
    outputs: dict[str, Any] | None = None
    error: str | None = None
    released: bool = False
    children: list[ChildTask] = []
    log_file: str | None = None
    #: Internal jobs (control expressions that need I/O) answer with values instead of outputs.
    values: dict[str, Any] | None = None


class WorkerLost(_Command, frozen=True, kw_only=True, tag="worker_lost"):
    """The lease of the attempt ran out without a result."""

    task_run_id: str
    attempt: int
    token: str | None = None


class SubflowEnded(_Command, frozen=True, kw_only=True, tag="subflow_ended"):
    """A child execution ended (or, with `state` FAILED and no `child_id` made, could not start)."""

    task_run_id: str
    attempt: int
    child_id: str
    state: State
    outputs: dict[str, Any] | None = None
    error: str | None = None
    iteration: int | None = None


class SubflowStarted(_Command, frozen=True, kw_only=True, tag="subflow_started"):
    """The child `previous` ended RETRIED; `child_id` follows it and is to be waited for instead."""

    task_run_id: str
    attempt: int
    child_id: str
    previous: str | None = None
    iteration: int | None = None


class TimerFired(_Command, frozen=True, kw_only=True, tag="timer_fired"):
    """`seq` is the event number that armed it; `kind` one of effects.TimerKind."""

    seq: int
    kind: str
    task_run_id: str | None = None


class AdmitExecution(_Command, frozen=True, kw_only=True, tag="admit_execution"):
    """A concurrency slot was given to this execution, which is queued since `queued` (None: older versions)."""

    queued: int | None = None


class UnqueueExecution(_Command, frozen=True, kw_only=True, tag="unqueue_execution"):
    state: State = State.RUNNING


class ForceRunExecution(_Command, frozen=True, kw_only=True, tag="force_run_execution"):
    pass


class ContinueExecution(_Command, frozen=True, kw_only=True, tag="continue_execution"):
    """The last turn stopped at its step budget; go on in these loops."""

    containers: list[str] = []


class KillExecution(_Command, frozen=True, kw_only=True, tag="kill_execution"):
    """`cascade` kills running subflows too. `parent` is killed with this child; None: somebody asked for this execution."""

    cascade: bool = True
    by: str | None = None
    parent: Parent | None = None


class PauseExecution(_Command, frozen=True, kw_only=True, tag="pause_execution"):
    pass


class ResumeExecution(_Command, frozen=True, kw_only=True, tag="resume_execution"):
    inputs: dict[str, Any] | None = None
    by: str | None = None
    state: State = State.RUNNING


class RestartExecution(_Command, frozen=True, kw_only=True, tag="restart_execution"):
    """`parent` waits for the end of this child: where nothing can be restarted it is told how the child ended."""

    flow_revision: int | None = None
    parent: Parent | None = None


class ChangeTaskRunState(_Command, frozen=True, kw_only=True, tag="change_task_run_state"):
    task_run_id: str
    state: State


class ChangeExecutionState(_Command, frozen=True, kw_only=True, tag="change_execution_state"):
    state: State


class SetLabels(_Command, frozen=True, kw_only=True, tag="set_labels"):
    labels: list[tuple[str, str]]


class DeleteExecution(_Command, frozen=True, kw_only=True, tag="delete_execution"):
    pass


class FaultExecution(_Command, frozen=True, kw_only=True, tag="fault_execution"):
    """A command could not be applied: the execution ends FAILED with the engine's error."""

    error: str


Command = (
    StartExecution
    | TaskStarted
    | TaskProgressed
    | TaskFinished
    | WorkerLost
    | SubflowEnded
    | SubflowStarted
    | TimerFired
    | AdmitExecution
    | UnqueueExecution
    | ForceRunExecution
    | ContinueExecution
    | KillExecution
    | PauseExecution
    | ResumeExecution
    | RestartExecution
    | ChangeTaskRunState
    | ChangeExecutionState
    | SetLabels
    | DeleteExecution
    | FaultExecution
)

encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Command).decode
