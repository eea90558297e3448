"""Effects: what the shell must do after a decision is committed. Data; performed only by the executor's interpreter.

An effect never carries a decision of its own: whether a job is still wanted, a timer still due or a slot still free is
decided when its command comes back, or in the transaction that commits it.
"""

from enum import StrEnum

import msgspec

from levada.model.commands import Command
from levada.model.jobs import Job, LogEntry, MetricEntry
from levada.model.states import State


class TimerKind(StrEnum):
    RETRY = "retry"
    PAUSE = "pause"
    SLEEP = "sleep"
    LOOP = "loop"
    KILL_DEADLINE = "kill_deadline"
    SCHEDULED_START = "scheduled_start"
    SLA = "sla"
    FLOW_RETRY = "flow_retry"


class _Effect(msgspec.Struct, frozen=True, kw_only=True):
    pass


class SubmitJob(_Effect, frozen=True, kw_only=True):
    """Put one attempt on the work queue. `secret_names` are not known here: the worker asks for them."""

    job: Job


class CancelJob(_Effect, frozen=True, kw_only=True):
    """Tell the worker that holds the attempt to stop it; withdraw it when nobody has claimed it."""

    task_run_id: str
    attempt: int


class SendCommand(_Effect, frozen=True, kw_only=True):
    """A command to another execution (or to this one, for the next turn)."""

    command: Command


class ArmTimer(_Effect, frozen=True, kw_only=True):
    """Fire `TimerFired(seq, kind, task_run_id)` at `due` (epoch microseconds)."""

    kind: TimerKind
    due: int
    seq: int
    task_run_id: str | None = None


class WriteLogs(_Effect, frozen=True, kw_only=True):
    entries: list[LogEntry]


class WriteMetrics(_Effect, frozen=True, kw_only=True):
    entries: list[MetricEntry]


class ClaimSlot(_Effect, frozen=True, kw_only=True):
    """Take a concurrency slot of the flow; the commit fails, and the turn is decided again, if `limit` is reached."""

    flow_key: str
    limit: int


class JoinQueue(_Effect, frozen=True, kw_only=True):
    """Wait for a slot of the flow, in the order of arrival. `at` is when the execution became QUEUED."""

    flow_key: str
    limit: int
    at: int


class ReleaseSlot(_Effect, frozen=True, kw_only=True):
    """Give the slot back (or leave the queue); the oldest waiting execution is admitted in the same transaction."""

    flow_key: str
    limit: int | None


class AnnounceChange(_Effect, frozen=True, kw_only=True):
    """The execution came to `state`: for followers, waiting callers, flow triggers."""

    state: State
    terminal: bool


Effect = (
    SubmitJob
    | CancelJob
    | SendCommand
    | ArmTimer
    | WriteLogs
    | WriteMetrics
    | ClaimSlot
    | JoinQueue
    | ReleaseSlot
    | AnnounceChange
)
