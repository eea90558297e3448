"""Timers that come due. Each names what it was armed for; when that is over already it does nothing."""

from levada.engine import inline, kill, root, sla, start, tasks
from levada.engine.flowables.pause import expiry_state
from levada.engine.turn import Turn
from levada.model.commands import TimerFired
from levada.model.effects import TimerKind
from levada.model.events import ExecutionEnding, ExecutionStateChanged, IterationRestarted, TaskRunStateChanged
from levada.model.execution import TaskRun
from levada.model.states import State


def fired(turn: Turn, command: TimerFired) -> None:
    x = turn.execution
    run = x.task_runs.get(command.task_run_id) if command.task_run_id is not None else None
    match TimerKind(command.kind):
        case TimerKind.SCHEDULED_START | TimerKind.FLOW_RETRY:
            if x.state is State.CREATED:
                start.run(turn)
        case TimerKind.RETRY:
            if run is not None and run.state is State.RETRYING and _is_due(turn, run):
                tasks.begin(turn, run, turn.plan.nodes[run.task_id])
        case TimerKind.SLEEP:
            if run is not None and run.state is State.RUNNING and _is_due(turn, run):
                node = turn.plan.nodes[run.task_id]
                tasks.finish(turn, run, node, inline.sleep_over(turn, run, node))
        case TimerKind.PAUSE:
            if run is not None and run.state is State.PAUSED and _is_due(turn, run):
                _pause_over(turn, run)
        case TimerKind.LOOP:
            if run is not None and run.state is State.RUNNING and _is_due(turn, run):
                _next_pass(turn, run)
        case TimerKind.KILL_DEADLINE:
            if x.state is State.KILLING:
                kill.enforce_deadline(turn)
        case TimerKind.SLA:
            if not x.is_terminal:
                sla.overdue(turn, command.task_run_id)


def _is_due(turn: Turn, run: TaskRun) -> bool:
    """A timer of an earlier wait of the same run comes too soon for the present one."""
    return run.due is not None and turn.now >= run.due


def _pause_over(turn: Turn, run: TaskRun) -> None:
    node = turn.plan.nodes[run.task_id]
    state = expiry_state(turn, run, node)
    if state in (State.SUCCESS, State.WARNING):
        unpause(turn, run)
        if state is State.WARNING:
            tasks.end_container(turn, run, node, state, None)
        else:
            turn.visit(run.id)
        return
    unpause_execution(turn)
    message = "Timeout: nobody resumed the execution in time" if state is State.FAILED else "the pause ended by CANCEL"
    turn.log("ERROR" if state is State.FAILED else "WARN", message, run)
    tasks.end_container(turn, run, node, state, None, message)
    if state is State.CANCELLED and turn.execution.ending is None:
        turn.emit(ExecutionEnding(at=turn.now, state=State.CANCELLED))


def unpause(turn: Turn, run: TaskRun) -> None:
    """The Pause task run goes on; the execution too unless another pause holds it."""
    turn.emit(TaskRunStateChanged(at=turn.now, id=run.id, state=State.RUNNING))
    unpause_execution(turn, run)


def unpause_execution(turn: Turn, released: TaskRun | None = None) -> None:
    x = turn.execution
    if x.state is not State.PAUSED or x.resume_to is not None:
        return
    if released is not None and any(r.state is State.PAUSED for r in x.task_runs.values()):
        return
    turn.emit(ExecutionStateChanged(at=turn.now, state=State.RUNNING))
    turn.forget_variables()
    root.announce(turn)


def _next_pass(turn: Turn, run: TaskRun) -> None:
    removed: set[str] = set()
    for child in turn.execution.task_runs.values():
        if child.parent_id == run.id or child.parent_id in removed:
            removed.add(child.id)
    turn.emit(IterationRestarted(at=turn.now, id=run.id, iteration=run.passes + 1, removed=sorted(removed)))
    turn.visit(run.id)
