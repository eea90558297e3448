"""The beginning of an execution: its record, its inputs and labels, its slot, its first tasks."""

from typing import Any

from levada.engine import concurrency, copying, inputs, root, sla
from levada.engine.plan import plan_of
from levada.engine.turn import Refused, Turn
from levada.model.commands import RestartExecution, StartExecution, SubflowEnded
from levada.model.effects import SendCommand, TimerKind
from levada.model.errors import UserError
from levada.model.events import ExecutionCreated, ExecutionStateChanged
from levada.model.execution import Execution
from levada.model.flow import Flow
from levada.model.states import State

CORRELATION = "system.correlationId"


def refusal(command: StartExecution, flow: Flow | None) -> str | None:
    """Return why the flow may not run, or None."""
    name = f"{command.namespace}.{command.flow_id}"
    if flow is None or flow.deleted:
        return f"Unable to find flow {name}"
    if flow.disabled:
        return f"Cannot execute flow {name}: it is disabled"
    return None


def refuse(command: StartExecution | RestartExecution, reason: str) -> list[SendCommand]:
    """A (re)start without execution: the waiting parent must hear of it. Raises Refused when nobody waits."""
    if command.parent is None:
        raise Refused(reason, 404)
    parent = command.parent
    return [
        SendCommand(
            command=SubflowEnded(
                execution_id=parent.execution_id,
                task_run_id=parent.task_run_id,
                attempt=parent.attempt,
                child_id=command.execution_id,
                state=State.FAILED,
                error=reason,
                iteration=parent.iteration,
            )
        )
    ]


def created(
    command: StartExecution, flow: Flow, now: int, source: Execution | None
) -> tuple[ExecutionCreated, str | None]:
    """Return the first event, and the message when the inputs are wrong (the execution then fails visibly)."""
    problem = command.failure
    resolved: dict[str, Any] | None = command.inputs
    if not command.resolved and problem is None:
        try:
            resolved = inputs.resolve(flow, command.inputs or {}, now=now, seed=command.execution_id)
        except UserError as error:
            problem = str(error)
    event = ExecutionCreated(
        at=now,
        id=command.execution_id,
        tenant=command.tenant,
        namespace=command.namespace,
        flow_id=command.flow_id,
        flow_revision=flow.revision,
        inputs=resolved,
        labels=_labels(command, flow),
        trigger=command.trigger,
        parent=command.parent,
        original_id=command.original_id,
        scheduled=command.scheduled,
        kind=command.kind,
        attempt_number=command.attempt_number,
        original_created=command.original_created,
        breakpoints=command.breakpoints,
        trace_parent=command.trace_parent,
    )
    if source is not None:
        event = copying.copy_onto(event, source, command, plan_of(flow))
    return event, problem


def _labels(command: StartExecution, flow: Flow) -> list[tuple[str, str]]:
    labels = dict(flow.labels)
    labels.update(dict(command.labels))
    labels.setdefault(CORRELATION, command.correlation_id or command.execution_id)
    return list(labels.items())


def launch(turn: Turn, problem: str | None) -> None:
    """After the first event: run, wait for the date or a slot, or fail."""
    x = turn.execution
    if problem is not None:
        turn.log("ERROR", problem)
        root.end(turn, State.FAILED, problem)
        return
    if x.scheduled is not None and x.scheduled > turn.now:
        turn.arm(TimerKind.SCHEDULED_START, x.scheduled)
        return
    run(turn)


def run(turn: Turn) -> None:
    """Take a slot and go, unless the limit says otherwise."""
    state = concurrency.admit(turn)
    if state is None:
        go(turn)
    elif state is State.QUEUED:
        concurrency.queue(turn)
        root.announce(turn)
    else:
        message = f"the concurrency limit of the flow is reached: {state.value}"
        turn.log("WARN" if state is State.CANCELLED else "ERROR", message)
        root.end(turn, state, message)


def go(turn: Turn) -> None:
    """RUNNING now: arm the SLA clocks and look at the execution."""
    turn.emit(ExecutionStateChanged(at=turn.now, state=State.RUNNING))
    turn.forget_variables()
    root.announce(turn)
    sla.arm(turn)
    turn.visit(None)
