"""Killing: nothing new starts, what waits ends at once, what runs on a worker is stopped, and nobody waits for ever.

The execution is KILLING until its last task run has ended. A worker that does not answer is overruled by the kill
deadline: the executor itself ends the task run and fences the attempt.
"""

from levada.engine import subflow
from levada.engine.plan import Kind
from levada.engine.turn import Turn
from levada.model.commands import KillExecution
from levada.model.effects import CancelJob, TimerKind
from levada.model.events import ExecutionStateChanged, TaskRunEnded, TaskRunStateChanged
from levada.model.execution import TaskRun
from levada.model.states import State

_ON_A_WORKER = frozenset({State.SUBMITTED, State.RUNNING, State.KILLING})


def begin(turn: Turn, *, cascade: bool = True) -> None:
    """Put the execution to KILLING and stop everything."""
    turn.emit(ExecutionStateChanged(at=turn.now, state=State.KILLING))
    turn.forget_variables()
    stop_task_runs(turn, cascade=cascade)
    if any(not run.state.is_terminal for run in turn.execution.task_runs.values()):
        turn.arm(TimerKind.KILL_DEADLINE, turn.now + turn.env.kill_deadline_us)
    turn.visit(None)


def stop_task_runs(turn: Turn, *, cascade: bool = True) -> None:
    """End or cancel every task run that has not ended; containers follow when their children have."""
    x = turn.execution
    for run in list(x.task_runs.values()):
        if run.state.is_terminal or run.dynamic or _is_ordering(turn, run):
            continue
        if _held_by_worker(turn, run):
            turn.effect(CancelJob(task_run_id=run.id, attempt=run.attempt))
            if run.state is State.SUBMITTED:
                _end(turn, run)
            elif run.state is State.RUNNING:
                turn.emit(TaskRunStateChanged(at=turn.now, id=run.id, state=State.KILLING))
        elif run.child_execution is not None:
            if cascade:
                turn.send(KillExecution(execution_id=run.child_execution, parent=subflow.asker(turn, run)))
            _end(turn, run)
        else:
            _end(turn, run)
    _revisit_containers(turn)


def enforce_deadline(turn: Turn) -> None:
    """The workers had their time: end what is left."""
    for run in list(turn.execution.task_runs.values()):
        if not run.state.is_terminal and not run.dynamic and not _is_ordering(turn, run):
            turn.log("WARN", "the worker did not confirm the kill in time; the attempt is fenced", run)
            _end(turn, run)
    _revisit_containers(turn)


def _is_ordering(turn: Turn, run: TaskRun) -> bool:
    """True for containers whose children end them; a paused one waits for nobody."""
    return run.progress is not None and run.state is not State.PAUSED and not _held_by_worker(turn, run)


def _held_by_worker(turn: Turn, run: TaskRun) -> bool:
    node = turn.plan.nodes.get(run.task_id)
    kind = node.kind if node is not None else Kind.JOB
    if run.state not in _ON_A_WORKER:
        return False
    return kind in (Kind.JOB, Kind.WORKING_DIRECTORY) or run.state is State.SUBMITTED or run.token is not None


def _end(turn: Turn, run: TaskRun) -> None:
    turn.emit(TaskRunEnded(at=turn.now, id=run.id, state=State.KILLED, attempt=run.attempt))
    turn.visit(run.parent_id, run.id)


def _revisit_containers(turn: Turn) -> None:
    for run in turn.execution.task_runs.values():
        if run.progress is not None and not run.state.is_terminal:
            turn.visit(run.id)
    turn.visit(None)
