"""What workers and child executions answer. Each answer is for one attempt, under its token; everything else is late.

A late or repeated answer changes nothing: the attempt number and the token decide, never the order of arrival.
"""

import msgspec

from levada.engine import jobs, subflow, tasks
from levada.engine.plan import Node
from levada.engine.turn import Turn
from levada.model.commands import (
    ChildTask,
    SubflowEnded,
    SubflowStarted,
    TaskFinished,
    TaskProgressed,
    TaskStarted,
    WorkerLost,
)
from levada.model.events import (
    ChildrenReported,
    ConditionsEvaluated,
    TaskRunOutputsSet,
    TaskRunResubmitted,
    TaskRunStarted,
)
from levada.model.execution import TaskRun
from levada.model.states import State

_HELD = frozenset({State.RUNNING, State.KILLING})


def started(turn: Turn, command: TaskStarted) -> None:
    run = turn.execution.task_runs.get(command.task_run_id)
    if run is None or run.state is not State.SUBMITTED or run.attempt != command.attempt:
        return
    turn.emit(
        TaskRunStarted(at=command.at, id=run.id, attempt=command.attempt, token=command.token, worker=command.worker)
    )


def progressed(turn: Turn, command: TaskProgressed) -> None:
    run = _current(turn, command.task_run_id, command.attempt, command.token)
    if run is not None and command.children:
        _report_children(turn, run, command.children)


def finished(turn: Turn, command: TaskFinished) -> None:
    run = _current(turn, command.task_run_id, command.attempt, command.token)
    if run is None:
        return
    node = turn.plan.nodes[run.task_id]
    if command.children:
        _report_children(turn, run, command.children)
    if command.released:
        _again(turn, run, node, "the worker stopped and gave the attempt back")
        return
    if command.values is not None and command.state is State.SUCCESS:
        turn.emit(ConditionsEvaluated(at=turn.now, id=run.id, values=command.values))
        tasks.begin(turn, run, node)  # it goes on where it stopped for the values
        return
    state = command.state
    if State.KILLING in (turn.execution.state, run.state) and state is not State.SUCCESS:
        state = State.KILLED  # an attempt that was told to end (an SLA does so to tasks alone) did not fail: no retry
    if state is State.FAILED:
        # The worker logged the reason beside the task's own lines.
        tasks.end(turn, run, node, state, command.outputs, command.error, log_file=command.log_file)
    else:
        tasks.end(turn, run, node, state, command.outputs, log_file=command.log_file)


def lost(turn: Turn, command: WorkerLost) -> None:
    """The lease ran out: a new attempt, or the end for tasks that must not run twice.

    An attempt that answered with values is over, although its task run goes on: it has no token any more.
    """
    run = turn.execution.task_runs.get(command.task_run_id)
    if run is None or run.attempt != command.attempt:
        return
    if run.state is not State.SUBMITTED and (run.state not in _HELD or run.token != command.token):
        return
    node = turn.plan.nodes[run.task_id]
    if run.state is State.KILLING or turn.execution.state is State.KILLING:
        tasks.end(turn, run, node, State.KILLED)
    elif node.task.on_worker_lost == "fail" and run.state is not State.SUBMITTED:  # else it never ran
        message = "the worker was lost while the task ran; `onWorkerLost: fail` forbids a second run"
        turn.log("ERROR", message, run)
        tasks.end(turn, run, node, State.FAILED, None, message)
    else:
        _again(turn, run, node, "the worker was lost")


def subflow_started(turn: Turn, command: SubflowStarted) -> None:
    """The child is tried again as a new execution: wait for that one. Repeats come too late for `previous`."""
    run = turn.execution.task_runs.get(command.task_run_id)
    if run is None or run.state is not State.RUNNING or run.child_execution is None:
        return
    if command.iteration is None and run.child_execution == command.previous:
        child = command.child_id
        turn.emit(TaskRunOutputsSet(at=turn.now, id=run.id, outputs={"executionId": child}, child_execution=child))


def subflow_ended(turn: Turn, command: SubflowEnded) -> None:
    run = turn.execution.task_runs.get(command.task_run_id)
    if run is None or run.state is not State.RUNNING:
        return
    if command.iteration is None and run.child_execution != command.child_id:
        return
    if command.attempt != run.attempt:
        # The end of an earlier life, come late; or of a child that was not told of this attempt.
        if command.iteration is None:
            subflow.ask_again(turn, run, command.child_id)
        return
    if command.iteration is not None and _known_batch(run, command.iteration):
        return
    node = turn.plan.nodes[run.task_id]
    if command.error is not None:
        turn.log("ERROR", command.error, run)
    result = subflow.ended(turn, run, node, command)
    if result is None:
        return
    if result.error is not None and command.error is None:
        turn.log("ERROR", result.error, run)
    tasks.end(turn, run, node, result.state, result.outputs, result.error)


def _known_batch(run: TaskRun, iteration: int) -> bool:
    return any(child["iteration"] == iteration for child in (run.outputs or {}).get("children", []))


def _current(turn: Turn, task_run_id: str, attempt: int, token: str) -> TaskRun | None:
    """The task run if this answer is for its present attempt, else None."""
    run = turn.execution.task_runs.get(task_run_id)
    if run is None or run.state not in _HELD or run.attempt != attempt or run.token != token:
        return None
    return run


def _again(turn: Turn, run: TaskRun, node: Node, reason: str) -> None:
    """Submit the next attempt of a run whose worker is gone, in the place that the run has in the queue already."""
    if turn.execution.state is State.KILLING:
        tasks.end(turn, run, node, State.KILLED)
        return
    turn.log("WARN", f"{reason}: attempt {run.attempt + 1} follows", run)
    turn.emit(TaskRunResubmitted(at=turn.now, id=run.id, attempt=run.attempt, reason=reason))
    since = run.attempts[-1].history[0][1] if run.attempts else None
    if node.io and run.conditions is None:
        jobs.submit_evaluation(turn, run, node, since)
    else:
        jobs.submit(turn, run, node, since)


def _report_children(turn: Turn, run: TaskRun, children: list[ChildTask]) -> None:
    known = [
        child if child.history else msgspec.structs.replace(child, history=[(child.state, turn.now)])
        for child in children
    ]
    turn.emit(ChildrenReported(at=turn.now, id=run.id, children=known))
