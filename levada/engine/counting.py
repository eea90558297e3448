"""The counters of containers: what changes when a child is created and when it ends, and how to count all again.

Part of the fold (engine/evolve.py): counting follows from events alone and decides nothing.
"""

from levada.model.errors import Defect
from levada.model.execution import Execution, Progress, TaskRun
from levada.model.states import State, worse


def recount(x: Execution) -> None:
    """Make the progress of every container that is open (and of the execution) again from its task runs."""
    x.progress = Progress()
    for run in x.task_runs.values():
        if run.progress is not None and not run.state.is_terminal:
            run.progress = Progress(done={} if run.progress.done is not None else None)
            x.dirty.add(run.id)
    for run in x.task_runs.values():
        if run.dynamic or (run.parent_id is not None and x.task_runs[run.parent_id].state.is_terminal):
            continue
        created(x, run)
        if run.state.is_terminal:
            ended(x, run)


def created(x: Execution, run: TaskRun) -> None:
    if run.parent_id is None:
        progress, loop = x.progress, False
    else:
        parent = x.task_runs[run.parent_id]
        progress, loop = progress_of(x, run.parent_id), parent.items is not None
    progress.running += 1
    position = run.iteration if loop and run.iteration is not None and progress.stage == "main" else run.index
    progress.next = max(progress.next, position + 1)
    if progress.done is not None and progress.stage == "main":
        progress.done[run.task_id] = State.RUNNING


def ended(x: Execution, run: TaskRun) -> None:
    progress = x.container(run)
    progress.running -= 1
    progress.ended += 1
    progress.worst[progress.stage] = worse(progress.worst.get(progress.stage), run.state)
    if progress.done is not None and progress.stage == "main":
        progress.done[run.task_id] = run.state


def progress_of(x: Execution, id_: str) -> Progress:
    """The progress of a container. Raises Defect for a task run that has no children."""
    progress = x.task_runs[id_].progress
    if progress is None:
        raise Defect(f"task run {id_} of {x.id} has no children")
    return progress
