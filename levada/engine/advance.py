"""How an execution moves on: look at every container on the agenda until nothing more may start.

A container (the execution itself, or a flowable task run) goes through stages: main, then errors if something in main
failed, then finally, then it ends and its own container is looked at. The execution has one stage more, `after`, which
runs when its end state is known and changes it no more. Kill and early ends (Exit, SLA) stop new starts; what runs ends
first.
"""

from levada.engine import root, tasks
from levada.engine.flowables import FLOWABLES, Child
from levada.engine.flowables.flowable import in_sequence
from levada.engine.plan import Kind, Node
from levada.engine.turn import Turn
from levada.expr import ExpressionError
from levada.model.errors import UserError
from levada.model.events import StageEntered
from levada.model.execution import Progress, TaskRun
from levada.model.flow import Task
from levada.model.states import State

_FOLLOWING: dict[str, tuple[str, ...]] = {
    "main": ("errors", "finally"),
    "errors": ("finally",),
    "finally": (),
    "after": (),
}


def settle(turn: Turn) -> None:
    """Work the agenda off."""
    while turn.agenda:
        container, ended = turn.next_visit()
        _visit(turn, container, ended)


def _visit(turn: Turn, container: str | None, ended_id: str | None) -> None:
    x = turn.execution
    run = x.task_runs[container] if container is not None else None
    progress = run.progress if run is not None else x.progress
    assert progress is not None
    if run is not None and run.state.is_terminal:
        return
    if run is not None and turn.plan.nodes[run.task_id].kind is not Kind.CONTAINER:
        return  # a worker orders these children
    if run is None and x.is_terminal and progress.stage != "after":
        return
    ended = x.task_runs.get(ended_id) if ended_id is not None else None
    if stops(turn, progress):
        kids: list[Child] = []
    elif is_held(turn):
        return
    else:
        try:
            kids = _children(turn, run, progress, ended)
        except (ExpressionError, UserError) as error:
            _fail(turn, run, str(error))
            return
    branch = _branch_name(turn, run, progress)
    for child in kids:
        if stops(turn, progress):
            break
        tasks.start(turn, child, run, branch)
    if not kids and progress.running == 0 and turn.settled(container):
        _leave(turn, run, progress)


def stops(turn: Turn, progress: Progress) -> bool:
    """True when nothing new may start in this container: killed, or ending early. The after stage always runs."""
    x = turn.execution
    if progress is x.progress and progress.stage == "after":
        return False
    if _in_after(turn):
        return False
    if x.state is State.KILLING:
        return True
    return x.ending is not None and progress.stage == "main"


def _in_after(turn: Turn) -> bool:
    return turn.execution.progress.stage == "after"


def is_held(turn: Turn) -> bool:
    """True while a person has paused the execution: what runs may end, nothing new starts."""
    return turn.execution.state is State.PAUSED and turn.execution.resume_to is not None


def _children(turn: Turn, run: TaskRun | None, progress: Progress, ended: TaskRun | None) -> list[Child]:
    if run is None:
        stage = root.after_tasks(turn) if progress.stage == "after" else turn.plan.stages[progress.stage]
        return in_sequence(stage, progress)
    node = turn.plan.nodes[run.task_id]
    if progress.stage != "main":
        return in_sequence(node.task.branches.get(progress.stage, ()), progress)
    return FLOWABLES[node.task.type].children(turn, run, node, ended)


def _branch_name(turn: Turn, run: TaskRun | None, progress: Progress) -> str:
    if run is None or progress.stage != "main":
        return progress.stage
    node = turn.plan.nodes[run.task_id]
    return FLOWABLES[node.task.type].branch(run, node)[0]


def _leave(turn: Turn, run: TaskRun | None, progress: Progress) -> None:
    """The stage is over: enter the next one that has something to do, or end the container."""
    killing = turn.execution.state is State.KILLING
    node = turn.plan.nodes[run.task_id] if run is not None else None
    if progress.stage == "main" and run is not None and node is not None and not stops(turn, progress):
        try:
            if FLOWABLES[node.task.type].goes_on(turn, run, node):
                return
        except (ExpressionError, UserError) as error:
            _fail(turn, run, str(error))
            return
    for stage in _FOLLOWING[progress.stage]:
        if not killing and _has_work(turn, node, progress, stage):
            turn.emit(StageEntered(at=turn.now, stage=stage, task_run_id=run.id if run else None))
            turn.visit(run.id if run else None)
            return
    if run is None or node is None:
        root.close(turn)
    else:
        _close(turn, run, node)


def _has_work(turn: Turn, node: Node | None, progress: Progress, stage: str) -> bool:
    found: tuple[Task, ...] = turn.plan.stages[stage] if node is None else node.task.branches.get(stage, ())
    if not any(not task.disabled for task in found):
        return False
    if stage != "errors":
        return True
    return turn.execution.ending is None and progress.worst.get("main") is State.FAILED


def _close(turn: Turn, run: TaskRun, node: Node) -> None:
    flowable = FLOWABLES[node.task.type]
    error = None
    outputs = None
    try:
        state, outputs = flowable.close(turn, run, node)
    except (ExpressionError, UserError) as problem:
        state, error = State.FAILED, str(problem)
        turn.log("ERROR", error, run)
    if turn.execution.state is State.KILLING:
        state = State.KILLED
    tasks.end_container(turn, run, node, state, outputs, error)


def _fail(turn: Turn, run: TaskRun | None, message: str) -> None:
    """A structure could not decide (its condition or values do not render): it fails with that message."""
    if run is None:
        root.fail(turn, message)
        return
    turn.log("ERROR", message, run)
    node = turn.plan.nodes[run.task_id]
    tasks.end_container(turn, run, node, State.FAILED, None, message)
