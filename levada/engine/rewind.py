"""Going back: restart what failed, or overrule the state of one task run, and continue from there.

Only task runs that must run again are touched: a failed leaf becomes RESTARTED, the containers around it RUNNING, what
errors and finally did is dropped. Everything that succeeded stays as it is.
"""

from levada.engine import concurrency, root, sla, subflow, tasks
from levada.engine.plan import Kind
from levada.engine.turn import Refused, Turn
from levada.model.commands import ChangeTaskRunState, RestartExecution
from levada.model.events import ExecutionAdopted, ExecutionRewound, ExecutionStateChanged
from levada.model.execution import Execution, TaskRun
from levada.model.states import FAILURES, State

_AFTERMATH = frozenset({"errors", "finally", "after"})


def restart(turn: Turn, command: RestartExecution) -> None:
    """Record what starts again; `proceed` then runs it."""
    x = turn.execution
    attempt = subflow.attempt_of_parent(x, command.parent)
    if attempt is not None and x.parent is not None and attempt <= x.parent.attempt:
        return  # a repeat, which may come when the execution has failed again: the attempt is its natural key
    if command.parent is not None and (x.state is State.RETRIED or not _can_restart(x)):
        _leave_alone(turn, command, attempt)
        return
    if x.state in (State.PAUSED, State.KILLING):
        raise Refused(f"Illegal argument: an execution that is {x.state} can not be restarted", 422)
    if not x.is_terminal:
        raise Refused("Illegal argument: You can only restart a terminated execution", 422)
    removed, states = reopened(x)
    turn.emit(
        ExecutionRewound(
            at=turn.now,
            removed=sorted(removed),
            states=list(states.items()),
            flow_revision=command.flow_revision,
            restart=True,
            parent_attempt=attempt,
        )
    )
    turn.forget_variables()


def _leave_alone(turn: Turn, command: RestartExecution, attempt: int | None) -> None:
    """A parent asks for what can not be: it is told of the end, hears of it later, or the follower is asked instead."""
    x = turn.execution
    if attempt is not None:
        turn.emit(ExecutionAdopted(at=turn.now, parent_attempt=attempt))
    if x.state is State.RETRIED:
        root.tell_follower(turn)
        turn.send(RestartExecution(execution_id=root.follower(x), parent=command.parent))
    elif x.is_terminal:
        root.tell_parent(turn)


def _can_restart(x: Execution) -> bool:
    return x.is_terminal and (x.state in FAILURES if not x.task_runs else _failed(x) != [])


def _failed(x: Execution) -> list[TaskRun]:
    return [run for run in x.task_runs.values() if run.state in FAILURES and not run.dynamic]


def reopened(x: Execution) -> tuple[set[str], dict[str, State]]:
    """Return what a restart drops, and the states of what runs again. Raises Refused when nothing failed."""
    failed = _failed(x)
    if not failed and (x.task_runs or x.state not in FAILURES):
        raise Refused("Illegal argument: No task found to restart execution from!", 422)
    removed = _aftermath(x)
    return removed, _reopen(x, [run for run in failed if run.id not in removed])


def _aftermath(x: Execution) -> set[str]:
    """Everything under an errors, finally or after branch of a container that is opened again, and dynamic children."""
    removed: set[str] = set()
    for run in x.task_runs.values():
        if run.branch in _AFTERMATH or run.parent_id in removed:
            parent = x.task_runs[run.parent_id] if run.parent_id is not None else None
            if parent is None or parent.id in removed or parent.state in FAILURES or run.branch in _AFTERMATH:
                removed.add(run.id)
        elif run.dynamic and run.parent_id is not None and x.task_runs[run.parent_id].state in FAILURES:
            removed.add(run.id)
    return removed


def _reopen(x: Execution, failed: list[TaskRun]) -> dict[str, State]:
    """Leaves become RESTARTED, containers RUNNING; a container that failed by itself is a leaf."""
    with_failed_child = {run.parent_id for run in failed}
    states: dict[str, State] = {}
    for run in failed:
        if run.id in with_failed_child and run.progress is not None:
            states[run.id] = State.RUNNING
        else:
            states[run.id] = State.RESTARTED
        for ancestor in x.ancestors(run):
            states[ancestor.id] = State.RUNNING
    return {run.id: states[run.id] for run in x.task_runs.values() if run.id in states}


def change_task_run(turn: Turn, command: ChangeTaskRunState) -> None:
    """A person overrules the end of one task run."""
    x = turn.execution
    run = x.task_runs.get(command.task_run_id)
    if run is None:
        raise Refused(f"Illegal argument: Cannot find task run {command.task_run_id}", 409)
    if not x.is_terminal and x.state is not State.PAUSED:
        raise Refused("Illegal argument: You can only change the state of a terminated execution", 409)
    ancestors = x.ancestors(run)
    opened = {ancestor.id for ancestor in ancestors}
    removed = {
        other.id
        for other in x.task_runs.values()
        if other.branch in _AFTERMATH and (other.parent_id is None or other.parent_id in opened) and other is not run
    }
    states = [(ancestor.id, State.RUNNING) for ancestor in reversed(ancestors)]
    turn.emit(ExecutionRewound(at=turn.now, removed=sorted(removed), states=[*states, (run.id, command.state)]))
    turn.forget_variables()


def proceed_restarted(turn: Turn) -> None:
    if turn.execution.state is State.RESTARTED:
        proceed(turn)


def proceed(turn: Turn) -> None:
    """After the rewind: take a slot again, run, begin what is RESTARTED, look at every open container."""
    state = concurrency.admit(turn)
    if state is State.QUEUED:
        concurrency.queue(turn)
        return
    if state is not None:
        root.end(turn, state, "the concurrency limit of the flow is reached")
        return
    resume(turn)


def resume(turn: Turn) -> None:
    """RUNNING (again): begin what is RESTARTED, look at everything that is open. For a fresh execution: its first tasks."""
    turn.emit(ExecutionStateChanged(at=turn.now, state=State.RUNNING))
    turn.forget_variables()
    root.announce(turn)
    sla.arm(turn)
    for run in list(turn.execution.task_runs.values()):
        if run.state is State.RESTARTED:
            tasks.begin(turn, run, turn.plan.nodes[run.task_id])
    visit_open_containers(turn)


def visit_open_containers(turn: Turn) -> None:
    """Look at every open container, and at the place where each lane of a loop stopped."""
    x = turn.execution
    lanes: dict[tuple[str, int], TaskRun] = {}
    for run in x.task_runs.values():
        if run.parent_id is not None and run.iteration is not None and run.branch == "tasks":
            lanes[run.parent_id, run.iteration] = run
    for (parent, _), last in lanes.items():
        if last.state.is_terminal and not x.task_runs[parent].state.is_terminal:
            turn.visit(parent, last.id)
    for run in x.task_runs.values():
        node = turn.plan.nodes.get(run.task_id)
        if run.progress is not None and not run.state.is_terminal and node is not None and node.kind is Kind.CONTAINER:
            turn.visit(run.id)
    turn.visit(None)
