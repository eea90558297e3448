"""What people ask of an execution: pause, resume, kill, labels, force-run, unqueue, another end state, deletion.

Every refusal is a `Refused` with the words and status that Kestra's API answers with; then nothing happened.
"""

from typing import Any

from levada.engine import concurrency, inputs, kill, rewind, root, subflow, tasks, timers
from levada.engine.context import iso
from levada.engine.turn import Refused, Turn
from levada.model.commands import (
    AdmitExecution,
    ChangeExecutionState,
    FaultExecution,
    KillExecution,
    ResumeExecution,
    SetLabels,
    UnqueueExecution,
)
from levada.model.events import (
    ExecutionDeleted,
    ExecutionStateChanged,
    LabelsSet,
    TaskRunEnded,
    TaskRunOutputsSet,
)
from levada.model.execution import Execution, TaskRun
from levada.model.states import EXECUTION_TRANSITIONS, State


def ask_kill(turn: Turn, command: KillExecution) -> None:
    """Killing what has ended is accepted and does nothing, as in Kestra."""
    x = turn.execution
    if x.is_terminal or x.state is State.KILLING or _was_meant_before(x, command):
        return
    if x.state in (State.CREATED, State.QUEUED) and not x.task_runs:
        turn.emit(ExecutionStateChanged(at=turn.now, state=State.KILLING))
        root.end(turn, State.KILLED)
        return
    kill.begin(turn, cascade=command.cascade)


def _was_meant_before(x: Execution, command: KillExecution) -> bool:
    """Whether it is a repeat from an earlier life: the parent was killed then, and waits for us with a further attempt."""
    attempt = subflow.attempt_of_parent(x, command.parent)
    return attempt is not None and x.parent is not None and attempt < x.parent.attempt


def ask_pause(turn: Turn) -> None:
    if turn.execution.state is not State.RUNNING:
        raise Refused("Illegal argument: The execution is not running", 422)
    turn.emit(ExecutionStateChanged(at=turn.now, state=State.PAUSED, resume_to=State.RUNNING))
    turn.forget_variables()
    root.announce(turn)


def ask_resume(turn: Turn, command: ResumeExecution) -> None:
    """End the first Pause that waits (with what was asked of the person), or lift a pause made by hand."""
    x = turn.execution
    if x.state is not State.PAUSED:
        raise Refused(f"Illegal state: Execution '{x.id}' is not paused, can't resume it", 409)
    paused = first_paused(turn)
    if paused is not None:
        _resume_task(turn, paused, command)
    if x.resume_to is not None or paused is None:
        turn.emit(ExecutionStateChanged(at=turn.now, state=State.RUNNING))
        turn.forget_variables()
        root.announce(turn)
        rewind.visit_open_containers(turn)


def first_paused(turn: Turn) -> TaskRun | None:
    return next((run for run in turn.execution.task_runs.values() if run.state is State.PAUSED), None)


def _resume_task(turn: Turn, run: TaskRun, command: ResumeExecution) -> None:
    node = turn.plan.nodes[run.task_id]
    asked = inputs.declared(node.task.properties.get("onResume") or [])
    resolved = inputs.resolve_declared(asked, command.inputs or {}, now=turn.now, seed=run.id) if asked else {}
    outputs: dict[str, Any] = {"resumed": {"on": iso(turn.now), "to": command.state.value}}
    if command.by is not None:
        outputs["resumed"]["by"] = command.by
    if asked:
        outputs["onResume"] = resolved
    turn.emit(TaskRunOutputsSet(at=turn.now, id=run.id, outputs=outputs))
    timers.unpause(turn, run)
    turn.visit(run.id)


def set_labels(turn: Turn, command: SetLabels) -> None:
    x = turn.execution
    if not x.is_terminal:
        raise Refused("The execution is not terminated", 400)
    merged = {**dict(x.labels), **dict(command.labels)}
    turn.emit(LabelsSet(at=turn.now, labels=list(merged.items())))


def admitted(turn: Turn, command: AdmitExecution) -> None:
    """The store gave this execution a slot. One that left the queue meanwhile gives it back; one that queued again
    since then waits for another.
    """
    x = turn.execution
    if x.state is State.QUEUED and command.queued not in (None, x.history[-1][1]):
        return
    if x.state is not State.QUEUED:
        if x.is_terminal:
            concurrency.release(turn)
        return
    concurrency.granted(turn)
    rewind.resume(turn)


def ask_unqueue(turn: Turn, command: UnqueueExecution) -> None:
    x = turn.execution
    if x.state is not State.QUEUED:
        raise Refused("Illegal argument: Only QUEUED execution can be unqueued", 422)
    if command.state is State.RUNNING:
        concurrency.take(turn, forced=True)
        rewind.resume(turn)
    elif command.state in (State.CANCELLED, State.FAILED):
        root.end(turn, command.state)
    else:
        raise Refused(f"Illegal argument: an execution can not be unqueued to {command.state}", 422)


def ask_force_run(turn: Turn) -> None:
    """Run now whatever holds it: a limit, a date, a pause."""
    x = turn.execution
    if x.is_terminal:
        raise Refused("Illegal argument: Only non terminated executions can be forced run.", 422)
    if x.state in (State.CREATED, State.QUEUED):
        concurrency.take(turn, forced=True)
        rewind.resume(turn)
        return
    if x.state is State.PAUSED:
        ask_resume(turn, ResumeExecution(execution_id=x.id))
        return
    for run in list(x.task_runs.values()):
        if run.state is State.RETRYING:
            tasks.begin(turn, run, turn.plan.nodes[run.task_id])
    rewind.visit_open_containers(turn)


def change_state(turn: Turn, command: ChangeExecutionState) -> None:
    x = turn.execution
    if not x.is_terminal:
        raise Refused("Illegal argument: You can only change the state of a terminated execution.", 422)
    if not command.state.is_terminal:
        raise Refused(f"Illegal argument: You can only change the state to a terminal state, not {command.state}", 422)
    if command.state in EXECUTION_TRANSITIONS[x.state]:
        turn.emit(ExecutionStateChanged(at=turn.now, state=command.state))
        root.announce(turn)


def delete(turn: Turn) -> None:
    turn.emit(ExecutionDeleted(at=turn.now))


def fault(turn: Turn, command: FaultExecution) -> None:
    """The engine could not apply a command: the execution fails visibly and everything of it stops."""
    x = turn.execution
    if x.is_terminal:
        return
    turn.log("ERROR", f"Levada could not apply a command to this execution: {command.error}")
    kill.stop_task_runs(turn)
    turn.agenda.clear()
    for run in list(x.task_runs.values()):
        if not run.state.is_terminal and run.progress is not None:
            turn.emit(TaskRunEnded(at=turn.now, id=run.id, state=State.FAILED, error=command.error))
        elif not run.state.is_terminal:
            turn.emit(TaskRunEnded(at=turn.now, id=run.id, state=State.KILLED, error=command.error))
    root.end(turn, State.FAILED, command.error)
    turn.agenda.clear()
