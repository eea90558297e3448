"""What the executor shows of its work: numbers of each committed batch, and the spans of the executions in it.

Only what is committed is shown, so nothing is counted twice because it was decided again. Called once per batch, never per
record, and never on the way of a commit: it must not raise for anything that a batch can hold.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from levada.bus.port import COMMANDS, Record
from levada.model import commands as cmd
from levada.model.events import ExecutionCreated, ExecutionStateChanged, TaskRunEnded
from levada.model.execution import Execution
from levada.model.states import TERMINAL, State
from levada.runtime import metrics, telemetry
from levada.store.port import Commit, ExecutionWrite, Fenced, Repeated, SequenceConflict, SlotConflict

LINKS_MAX = 32
FAILED = (State.FAILED, State.KILLED, State.CANCELLED)


@dataclass(slots=True)
class Decided:
    """What a batch decided: how many commands of which kind, and, while traces are on, what each execution was told."""

    commands: Counter[type[cmd.Command]] = field(default_factory=Counter)
    poisoned: int = 0
    told: dict[str, list[str]] = field(default_factory=dict)
    causes: dict[str, list[str]] = field(default_factory=dict)

    def add(self, record: Record, command: cmd.Command) -> None:
        self.commands[type(command)] += 1
        if telemetry.enabled():
            self.told.setdefault(command.execution_id, []).append(type(command).__name__)
            cause = telemetry.extract(record.headers)
            if cause is not None:
                self.causes.setdefault(command.execution_id, []).append(cause)


@dataclass(frozen=True, slots=True)
class Times:
    """When a batch began and was committed, epoch microseconds; seconds of its transaction."""

    began: int
    ended: int
    commit_s: float

    @property
    def decide_s(self) -> float:
        return max((self.ended - self.began) / 1_000_000 - self.commit_s, 0.0)


def committed(decided: Decided, commit: Commit, records: int, times: Times) -> None:
    """Count a batch that was committed, and record its spans."""
    metrics.COMMIT.observe(times.commit_s)
    if records:
        metrics.BATCH.observe(records)
        metrics.DECIDE.observe(times.decide_s)
    for kind, number in decided.commands.items():
        metrics.DECISIONS.inc(kind.__name__, by=number)
    if decided.poisoned:
        metrics.POISONED.inc(by=decided.poisoned)
    for dead in commit.dead:
        metrics.DEAD_LETTERED.inc(dead.topic)
    for write in commit.writes:
        _count(write)
    if telemetry.enabled():
        for write in commit.writes:
            _trace(decided, write, records, times)


def refused(error: BaseException) -> None:
    """Count a commit that was not made because of what others did."""
    match error:
        case Fenced():
            metrics.FENCED.inc()
        case SlotConflict():
            metrics.CONFLICTS.inc("slot")
        case SequenceConflict():
            metrics.CONFLICTS.inc("sequence")
        case Repeated():
            metrics.CONFLICTS.inc("repeated")
        case _:
            pass


def rebalanced(gained: int, lost: int, owned: int) -> None:
    """Count partitions that changed hands."""
    if gained:
        metrics.REBALANCES.inc(COMMANDS, "gained", by=gained)
    if lost:
        metrics.REBALANCES.inc(COMMANDS, "lost", by=lost)
    metrics.PARTITIONS_OWNED.set(owned)


def _count(write: ExecutionWrite) -> None:
    for event in write.events:
        if isinstance(event, TaskRunEnded):
            metrics.TASK_RUNS.inc(event.state)
        elif isinstance(event, ExecutionStateChanged):
            if event.state in TERMINAL:
                metrics.ENDED.inc(event.state)
                metrics.DURATION.observe((event.at - write.execution.created) / 1_000_000, event.state)
        elif isinstance(event, ExecutionCreated):
            metrics.CREATED.inc()


def _trace(decided: Decided, write: ExecutionWrite, records: int, times: Times) -> None:
    execution: Execution = write.execution
    parent = telemetry.of_execution(execution.id, execution.trace_parent)
    if not telemetry.sampled(parent):
        return
    attributes = {
        "levada.execution.id": execution.id,
        "levada.execution.state": execution.state.value,
        "levada.commands": ", ".join(decided.told.get(execution.id, ())),
        "levada.events": len(write.events),
        "levada.batch.records": records,
        "levada.commit.seconds": times.commit_s,
    }
    causes = decided.causes.get(execution.id, [])[:LINKS_MAX]
    telemetry.record("decide", parent, times.began, times.ended, attributes=attributes, links=causes)
    ended = _end(write)
    if ended is not None:
        _trace_end(execution, ended)


def _end(write: ExecutionWrite) -> ExecutionStateChanged | None:
    """Return the event that ended the execution, if one of these did."""
    ends: Sequence[ExecutionStateChanged] = [
        event for event in write.events if isinstance(event, ExecutionStateChanged) and event.state.is_terminal
    ]
    return ends[-1] if ends else None


def _trace_end(execution: Execution, ended: ExecutionStateChanged) -> None:
    caller = execution.trace_parent
    if execution.parent is not None:
        caller = telemetry.of_execution(execution.parent.execution_id, caller)
    telemetry.record_execution(
        execution.id,
        caller,
        execution.created,
        ended.at,
        name=f"execution {execution.namespace}.{execution.flow_id}",
        attributes={
            "levada.execution.id": execution.id,
            "levada.execution.state": ended.state.value,
            "levada.flow.namespace": execution.namespace,
            "levada.flow.id": execution.flow_id,
            "levada.flow.revision": execution.flow_revision,
            "levada.task_runs": execution.runs,
        },
        error=(ended.error or execution.error or ended.state.value) if ended.state in FAILED else None,
    )
