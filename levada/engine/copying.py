"""Replay: a new execution that takes over what another one had done up to a task run, and runs the rest again.

The same copy serves a restart on another revision of the flow: there everything but what failed is taken over.
"""

import msgspec

from levada.engine import rewind
from levada.engine.plan import Kind, Plan
from levada.model import ids
from levada.model.commands import StartExecution
from levada.model.errors import UserError
from levada.model.events import ExecutionCreated
from levada.model.execution import Execution, Progress, TaskRun
from levada.model.flow import Task
from levada.model.states import State

_SIDE_BY_SIDE = frozenset({"core.flow.Parallel", "core.flow.EachParallel"})


def copy_onto(event: ExecutionCreated, source: Execution, command: StartExecution, plan: Plan) -> ExecutionCreated:
    """Return `event` with the task runs of `source` that the command wants to keep (none: everything runs anew)."""
    created = msgspec.structs.replace(
        event,
        original_id=source.original_id or source.id,
        inputs=event.inputs if event.inputs is not None else source.inputs,
        variables=source.variables,
    )
    if command.replay_failed:
        removed, states = rewind.reopened(source)
        kept = [run for run in source.task_runs.values() if run.id not in removed]
    elif command.replay_from is None:
        return created
    else:
        target = source.task_runs.get(command.replay_from)
        if target is None:
            raise UserError(f"execution {source.id} has no task run {command.replay_from}")
        kept = _before(source, target, plan)
        states = {run.id: State.RUNNING for run in source.ancestors(target)}
        node = plan.nodes.get(target.task_id)
        states[target.id] = State.RUNNING if node is not None and node.kind is Kind.CONTAINER else State.RESTARTED
    runs = _renamed(kept, states, command.execution_id, event.at)
    return msgspec.structs.replace(created, task_runs=runs, history=[*source.history, (State.RESTARTED, event.at)])


def _before(source: Execution, target: TaskRun, plan: Plan) -> list[TaskRun]:
    """Everything but the descendants of the target and what comes after it on its way up."""
    dropped: set[str] = set()
    line = [target, *source.ancestors(target)]
    here = {run.parent_id: run for run in line}
    on_line = {run.id for run in line}
    for run in source.task_runs.values():
        if run.id in on_line:
            continue
        if (
            run.parent_id == target.id
            or run.parent_id in dropped
            or (run.parent_id in here and _follows(source, run, here[run.parent_id], plan))
        ):
            dropped.add(run.id)
    return [run for run in source.task_runs.values() if run.id not in dropped]


def _follows(source: Execution, run: TaskRun, line: TaskRun, plan: Plan) -> bool:
    """True when `run` starts only after `line` in their common container."""
    if run.branch != line.branch:
        return True
    parent = source.task_runs[line.parent_id] if line.parent_id is not None else None
    container = plan.nodes.get(parent.task_id) if parent is not None else None
    if container is None:
        return run.index > line.index
    if run.iteration is not None and line.iteration is not None and run.iteration != line.iteration:
        return run.iteration > line.iteration and _one_at_a_time(container.task)
    if container.task.type in _SIDE_BY_SIDE and run.iteration is None:
        return False
    if container.task.type == "core.flow.Dag":
        return line.task_id in _upstream(container.task, run.task_id)
    return run.index > line.index


def _one_at_a_time(loop: Task) -> bool:
    if loop.type == "core.flow.EachSequential":
        return True
    return loop.type in ("core.flow.ForEach", "core.flow.Loop") and loop.properties.get("concurrencyLimit", 1) == 1


def _upstream(dag: Task, task_id: str) -> set[str]:
    """Everything that a child of a Dag waits for, directly or not."""
    found: set[str] = set()
    stack = [task_id]
    while stack:
        for needed in dag.depends_on.get(stack.pop(), ()):
            if needed not in found:
                found.add(needed)
                stack.append(needed)
    return found


def _renamed(kept: list[TaskRun], states: dict[str, State], execution_id: str, now: int) -> list[TaskRun]:
    names = {run.id: ids.derive(execution_id, n) for n, run in enumerate(kept)}
    copies = []
    for run in kept:
        copy: TaskRun = msgspec.convert(msgspec.to_builtins(run), TaskRun)
        copy.id = names[run.id]
        copy.parent_id = names[run.parent_id] if run.parent_id is not None else None
        state = states.get(run.id)
        if state is not None:
            copy.state = state
            copy.history.append((state, now))
            copy.token = None
            copy.conditions = None
            copy.child_execution = None  # it reports to the original; the copy starts one of its own
        if copy.progress is not None and not copy.state.is_terminal:
            copy.progress = Progress(done={} if copy.progress.done is not None else None)
        copies.append(copy)
    return copies
