"""The execution itself: when its last stage is over, what state it ends in, and who has to be told."""

from typing import Any

import msgspec

from levada.engine import concurrency, conditions, inputs, retry
from levada.engine.turn import Turn
from levada.model import ids
from levada.model.commands import StartExecution, SubflowEnded, SubflowStarted
from levada.model.effects import AnnounceChange
from levada.model.errors import UserError
from levada.model.events import ExecutionEnding, ExecutionOutputsSet, ExecutionStateChanged, StageEntered
from levada.model.execution import Execution
from levada.model.flow import RetryBehavior, Task
from levada.model.states import State, worse


def close(turn: Turn) -> None:
    """Every stage is over: end the execution, or (stage after) do nothing more."""
    x = turn.execution
    if x.is_terminal:
        return
    state = _final_state(turn)
    error = None
    if state is not State.KILLED:
        error = _set_outputs(turn)
        if error is not None and state not in (State.RETRIED, State.CANCELLED):
            state = State.FAILED
    if state is State.FAILED and _starts_again(turn):
        state = State.RETRIED
    end(turn, state, error)


def end(turn: Turn, state: State, error: str | None = None) -> None:
    """Record the terminal state, tell parent and followers, free the slot, begin the after tasks."""
    x = turn.execution
    turn.emit(ExecutionStateChanged(at=turn.now, state=state, error=error))
    turn.forget_variables()
    if state is State.RETRIED:
        _start_again(turn)
    concurrency.release(turn)
    tell_parent(turn)
    turn.effect(AnnounceChange(state=state, terminal=True))
    if turn.plan.stages["after"] and x.kind != "TEST":
        turn.emit(StageEntered(at=turn.now, stage="after"))
        turn.visit(None)


def fail(turn: Turn, message: str) -> None:
    """Something outside of any task failed: the execution will end FAILED once what runs is over."""
    turn.log("ERROR", message)
    if turn.execution.is_terminal:
        return  # the after stage changes the end no more
    if turn.execution.ending is None:
        turn.emit(ExecutionEnding(at=turn.now, state=State.FAILED, error=message))
    if turn.execution.progress.running == 0:
        close(turn)


def _final_state(turn: Turn) -> State:
    x = turn.execution
    if x.state is State.KILLING:
        return State.KILLED
    worst = State.SUCCESS
    for stage, state in x.progress.worst.items():
        if stage != "after":
            worst = worse(worst, state)
    if x.ending is not None and not (x.ending is State.RETRIED and _next_due(turn) is None):
        return x.ending
    return worst


def _set_outputs(turn: Turn) -> str | None:
    """Evaluate the flow's outputs. Returns the message when one does not render: the execution fails with it."""
    declared = turn.plan.flow.outputs
    if not declared or turn.execution.ending is State.RETRIED:
        return None
    values: dict[str, Any] = {}
    for output in declared:
        try:
            values[output.id] = _typed(turn.render(output.value), output.type)
        except UserError as problem:
            if not output.required:
                continue
            message = f"Failed to evaluate the flow output `{output.id}`: {problem}"
            turn.log("ERROR", message)
            return message
    turn.emit(ExecutionOutputsSet(at=turn.now, outputs=values))
    turn.forget_variables()
    return None


def _typed(value: Any, type_: str | None) -> Any:
    return value if type_ is None else inputs.convert(type_, value)


def _starts_again(turn: Turn) -> bool:
    policy = turn.plan.flow.retry
    if policy is None or policy.behavior is not RetryBehavior.CREATE_NEW_EXECUTION:
        return False
    return retry.next_execution_due(policy, turn.execution, turn.now) is not None


def _start_again(turn: Turn) -> None:
    """The execution ends RETRIED: the next one follows with the same inputs, under a fresh id."""
    x = turn.execution
    due = _next_due(turn)
    if due is None:
        return
    tell_follower(turn)
    turn.send(
        StartExecution(
            execution_id=follower(x),
            tenant=x.tenant,
            namespace=x.namespace,
            flow_id=x.flow_id,
            flow_revision=x.flow_revision,
            inputs=x.inputs,
            resolved=True,
            labels=[(k, v) for k, v in x.labels if not k.startswith("system.")],
            trigger=x.trigger,
            parent=x.parent,
            original_id=x.original_id or x.id,
            attempt_number=x.attempt_number + 1,
            original_created=x.original_created or x.created,
            scheduled=due if due > turn.now else None,
            correlation_id=dict(x.labels).get("system.correlationId"),
        )
    )


def _next_due(turn: Turn) -> int | None:
    """Return when the next execution follows this one, None: none does."""
    policy = _new_execution_policy(turn)
    return retry.next_execution_due(policy, turn.execution, turn.now) if policy is not None else None


def follower(x: Execution) -> str:
    """Return the id of the execution that follows one that ends RETRIED."""
    return ids.derive(x.id, "retry", x.attempt_number)


def tell_follower(turn: Turn) -> None:
    """The waiting parent waits for the follower now."""
    x = turn.execution
    if x.parent is None or not x.parent.wait:
        return
    turn.send(
        SubflowStarted(
            execution_id=x.parent.execution_id,
            task_run_id=x.parent.task_run_id,
            attempt=x.parent.attempt,
            child_id=follower(x),
            iteration=x.parent.iteration,
            previous=x.id,
        )
    )


def _new_execution_policy(turn: Turn) -> Any:
    """The policy that asked for a new execution: the flow's, or that of a failed task."""
    flow_policy = turn.plan.flow.retry
    if flow_policy is not None and flow_policy.behavior is RetryBehavior.CREATE_NEW_EXECUTION:
        return flow_policy
    for run in turn.execution.task_runs.values():
        node = turn.plan.nodes.get(run.task_id)
        if run.state is State.FAILED and node is not None:
            policy, _ = retry.policy(turn.plan, node)
            if policy is not None and policy.behavior is RetryBehavior.CREATE_NEW_EXECUTION:
                return policy
    return None


def tell_parent(turn: Turn) -> None:
    x = turn.execution
    if x.parent is None or not x.parent.wait or x.state is State.RETRIED:
        return
    outputs, error = x.outputs, None
    if x.parent.outputs is not None:
        try:
            outputs = turn.render(x.parent.outputs)
        except UserError as problem:
            error = f"the outputs of the subflow do not render: {problem}"
    turn.send(
        SubflowEnded(
            execution_id=x.parent.execution_id,
            task_run_id=x.parent.task_run_id,
            attempt=x.parent.attempt,
            child_id=x.id,
            state=x.state,
            outputs=outputs,
            error=error,
            iteration=x.parent.iteration,
        )
    )


def after_tasks(turn: Turn) -> tuple[Task, ...]:
    """The tasks of the after stage; those of a 0.x listener whose conditions do not hold are disabled."""
    tasks = turn.plan.stages["after"]
    if not turn.plan.flow.listeners:
        return tasks
    silent: set[str] = set()
    scope = conditions.Scope(turn.variables(), turn.host)
    subject = conditions.subject_of(turn.execution)
    for listener in turn.plan.flow.listeners:
        if not conditions.all_hold(listener.conditions, subject, scope):
            silent.update(task.id for task in listener.tasks)
    return tuple(msgspec.structs.replace(task, disabled=True) if task.id in silent else task for task in tasks)


def announce(turn: Turn) -> None:
    """Tell followers of a state that is no end."""
    turn.effect(AnnounceChange(state=turn.execution.state, terminal=False))
