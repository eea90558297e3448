"""The life of one task run: created, begun, tried again, ended.

`start` creates it and `begin` decides by kind who does the work: the executor at once (inline), a worker (a job), another
execution (subflow), or its own children (container). `end` is the only way out, whoever did the work.
"""

from typing import Any

import msgspec

from levada import expr
from levada.engine import inline, jobs, retry, sla, subflow
from levada.engine.flowables import FLOWABLES, Child
from levada.engine.plan import Kind, Node
from levada.engine.turn import Turn
from levada.model import ids
from levada.model.effects import TimerKind
from levada.model.errors import UserError
from levada.model.events import (
    ExecutionEnding,
    TaskRunCreated,
    TaskRunEnded,
    TaskRunRetrying,
    TaskRunStateChanged,
)
from levada.model.execution import TaskRun
from levada.model.flow import Retry, RetryBehavior
from levada.model.states import State


def start(turn: Turn, child: Child, parent: TaskRun | None, branch: str) -> None:
    """Create the task run of `child` and begin it."""
    x = turn.execution
    node = turn.plan.nodes[child.task.id]
    id_ = ids.derive(x.id, x.runs)
    turn.emit(
        TaskRunCreated(
            at=turn.now,
            id=id_,
            task_id=child.task.id,
            parent_id=parent.id if parent is not None else None,
            branch=branch,
            index=child.position,
            value=child.value,
            iteration=child.iteration if child.iteration is not None else _pass_of(parent, node),
            container=node.kind in (Kind.CONTAINER, Kind.WORKING_DIRECTORY),
            tracks=child.task.type == "core.flow.Dag",
        )
    )
    turn.started += 1
    begin(turn, x.task_runs[id_], node)


def _pass_of(parent: TaskRun | None, node: Node) -> int | None:
    """Children of a LoopUntil carry the number of their pass."""
    if parent is not None and node.parent is not None and node.parent.task.type == "core.flow.LoopUntil":
        return parent.passes
    return None


def begin(turn: Turn, run: TaskRun, node: Node) -> None:
    """Begin (or begin again: restart, retry) a task run that is not running."""
    if node.io and run.conditions is None:
        jobs.submit_evaluation(turn, run, node)
        return
    try:
        if not _runs(turn, run, node):
            end(turn, run, node, State.SKIPPED)
            return
        _dispatch(turn, run, node)
    except UserError as error:
        fail(turn, run, node, str(error))


def _runs(turn: Turn, run: TaskRun, node: Node) -> bool:
    if node.task.run_if is None:
        return True
    raw = (run.conditions or {}).get("runIf", node.task.run_if)
    return expr.truthy(turn.render(raw, run, node))


def _dispatch(turn: Turn, run: TaskRun, node: Node) -> None:
    match node.kind:
        case Kind.CONTAINER:
            if run.state is not State.RUNNING:
                turn.emit(TaskRunStateChanged(at=turn.now, id=run.id, state=State.RUNNING))
            if FLOWABLES[node.task.type].open(turn, run, node):
                turn.visit(run.id)
        case Kind.INLINE:
            finish(turn, run, node, inline.evaluate(turn, run, node))
        case Kind.EXECUTABLE:
            finish(turn, run, node, subflow.start(turn, run, node))
        case Kind.WORKING_DIRECTORY | Kind.JOB:
            jobs.submit(turn, run, node)


def finish(turn: Turn, run: TaskRun, node: Node, result: inline.Result | None) -> None:
    """End the run as its inline part says; None: it waits (sleep, subflow)."""
    if result is None:
        return
    if result.state is State.FAILED and result.error:
        turn.log("ERROR", result.error, run)
    end(turn, run, node, result.state, result.outputs, result.error, started=turn.now)


def fail(
    turn: Turn, run: TaskRun, node: Node, message: str, outputs: dict[str, Any] | None = None, *, logged: bool = False
) -> None:
    """The attempt failed: log why, then try again or end."""
    if not logged:
        turn.log("ERROR", message, run)
    tried = turn.now if node.kind in (Kind.INLINE, Kind.EXECUTABLE) else None
    end(turn, run, node, State.FAILED, outputs, message, started=tried)


def end(
    turn: Turn,
    run: TaskRun,
    node: Node,
    state: State,
    outputs: dict[str, Any] | None = None,
    error: str | None = None,
    *,
    started: int | None = None,
    log_file: str | None = None,
) -> None:
    """End the attempt of a task run that does its own work: retried, or final and its container is looked at."""
    if outputs is not None and (problem := _too_large(turn, outputs)):
        turn.log("ERROR", problem, run)
        state, outputs, error = State.FAILED, None, problem
    if state is State.FAILED and _try_again(turn, run, node, outputs, error):
        return
    if state is State.SUCCESS and run.warned:
        state = State.WARNING
    inline_start = started if started is not None and run.state is not State.RUNNING else None
    turn.emit(
        TaskRunEnded(
            at=turn.now,
            id=run.id,
            state=_allowed(node, state),
            attempt=run.attempt + 1 if inline_start is not None else run.attempt,
            outputs=outputs,
            error=error,
            started=inline_start,
            inline=inline_start is not None,
            log_file=log_file,
        )
    )
    if turn.plan.flow.sla:
        sla.check(turn)
    turn.visit(run.parent_id, run.id)


def end_container(
    turn: Turn, run: TaskRun, node: Node, state: State, outputs: dict[str, Any] | None, error: str | None = None
) -> None:
    """End a flowable; its failed children were retried one by one already."""
    turn.emit(TaskRunEnded(at=turn.now, id=run.id, state=_allowed(node, state), outputs=outputs, error=error))
    if state is State.CANCELLED and turn.execution.ending is None and turn.execution.state is not State.KILLING:
        turn.emit(ExecutionEnding(at=turn.now, state=State.CANCELLED))
    turn.visit(run.parent_id, run.id)


def _allowed(node: Node, state: State) -> State:
    if state is State.FAILED and node.task.allow_failure:
        state = State.WARNING
    if state is State.WARNING and node.task.allow_warning:
        state = State.SUCCESS
    return state


def _too_large(turn: Turn, outputs: dict[str, Any]) -> str | None:
    size = len(msgspec.json.encode(outputs)) if _may_be_large(outputs) else 0
    limit = turn.env.output_limit_bytes
    if size <= limit:
        return None
    return f"the outputs are {size} bytes; the limit is {limit}: write large results to a file (kestra:///…)"


def _may_be_large(value: Any, depth: int = 0) -> bool:
    """A cheap look that spares encoding small outputs."""
    if isinstance(value, str):
        return len(value) > 4096
    if isinstance(value, dict):
        return len(value) > 32 or depth > 3 or any(_may_be_large(item, depth + 1) for item in value.values())
    if isinstance(value, list):
        return len(value) > 32 or depth > 3 or any(_may_be_large(item, depth + 1) for item in value)
    return False


def _try_again(turn: Turn, run: TaskRun, node: Node, outputs: dict[str, Any] | None, error: str | None) -> bool:
    """Schedule another attempt if a policy says so. True when the task run is not over yet."""
    x = turn.execution
    if x.state is State.KILLING or (x.ending is not None and x.progress.stage == "main"):
        return False
    policy, _ = retry.policy(turn.plan, node)
    if policy is None:
        return False
    if policy.behavior is RetryBehavior.CREATE_NEW_EXECUTION:
        _new_execution(turn, policy)
        return False
    attempt = run.attempt if run.state is State.RUNNING and run.attempts else run.attempt + 1
    counted = msgspec.structs.replace(run, attempt=attempt)
    due = retry.next_due(policy, counted, turn.now)
    if due is None:
        return False
    turn.emit(
        TaskRunRetrying(
            at=turn.now, id=run.id, attempt=attempt, due=due, error=error, outputs=outputs, warn=policy.warning_on_retry
        )
    )
    turn.arm(TimerKind.RETRY, due, run.id)
    return True


def _new_execution(turn: Turn, policy: Retry) -> None:
    """A policy that makes a new execution: this one ends RETRIED if another may follow (engine/root.py starts it)."""
    x = turn.execution
    if x.ending is not None:
        return
    if retry.next_execution_due(policy, x, turn.now) is not None:
        turn.emit(ExecutionEnding(at=turn.now, state=State.RETRIED))
