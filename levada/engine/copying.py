"""Replay: a new execution that takes over what another one had done up to a task run, and runs the rest again."""

import msgspec

from levada.model import ids
from levada.model.commands import StartExecution
from levada.model.errors import UserError
from levada.model.events import ExecutionCreated
from levada.model.execution import Execution, Progress, TaskRun
from levada.model.states import State


def copy_onto(event: ExecutionCreated, source: Execution, command: StartExecution) -> ExecutionCreated:
    """Return `event` with the task runs of `source` that come before `replay_from` (all anew when it is None)."""
    created = msgspec.structs.replace(
        event,
        original_id=source.original_id or source.id,
        inputs=event.inputs if event.inputs is not None else source.inputs,
        variables=source.variables,
    )
    if command.replay_from is None:
        return created
    target = source.task_runs.get(command.replay_from)
    if target is None:
        raise UserError(f"execution {source.id} has no task run {command.replay_from}")
    kept = _kept(source, target)
    runs = _renamed(source, kept, target, command.execution_id, event.at)
    history = [*source.history, (State.RESTARTED, event.at)]
    return msgspec.structs.replace(created, task_runs=runs, history=history)


def _kept(source: Execution, target: TaskRun) -> list[TaskRun]:
    """Everything but the descendants of the target and what comes after it on its way up."""
    dropped: set[str] = set()
    line = [target, *source.ancestors(target)]
    after: dict[str | None, TaskRun] = {run.parent_id: run for run in line}
    on_line = {run.id for run in line}
    for run in source.task_runs.values():
        if run.id in on_line:
            continue
        here = after.get(run.parent_id)
        if run.parent_id == target.id or run.parent_id in dropped or (here is not None and _follows(source, run, here)):
            dropped.add(run.id)
    return [run for run in source.task_runs.values() if run.id not in dropped]


def _follows(source: Execution, run: TaskRun, line: TaskRun) -> bool:
    """True when `run` starts only after `line` in their common container."""
    if run.branch != line.branch:
        return True
    if run.iteration is not None and line.iteration is not None and run.iteration != line.iteration:
        return False
    if line.parent_id is not None and source.task_runs[line.parent_id].progress is not None:
        first_end = line.history[-1][1]
        return run.index > line.index and run.history[0][1] >= first_end
    return run.index > line.index


def _renamed(source: Execution, kept: list[TaskRun], target: TaskRun, execution_id: str, now: int) -> list[TaskRun]:
    names = {run.id: ids.derive(execution_id, n) for n, run in enumerate(kept)}
    line = {run.id for run in source.ancestors(target)}
    copies = []
    for run in kept:
        copy: TaskRun = msgspec.convert(msgspec.to_builtins(run), TaskRun)
        copy.id = names[run.id]
        copy.parent_id = names[run.parent_id] if run.parent_id is not None else None
        if run.id in line or (run is target and run.progress is not None):
            copy.state = State.RUNNING
            copy.history.append((State.RUNNING, now))
            copy.progress = Progress(done={} if run.progress is not None and run.progress.done is not None else None)
        elif run is target:
            copy.state = State.RESTARTED
            copy.history.append((State.RESTARTED, now))
            copy.token = None
        copies.append(copy)
    return copies
