"""The `outputs` variable: a tree of what task runs gave, keyed by task id and, inside loops, by the loop values.

`outputs.<task>.<name>` outside of loops; `outputs.<task>['<value>'].<name>` for a task run inside a ForEach, one level
per enclosing loop. The tree is kept beside the task runs and changed one leaf at a time, never rebuilt while running.
"""

from typing import Any

from levada.model.execution import Execution, TaskRun


def values_of(execution: Execution, run: TaskRun) -> list[str]:
    """Return the loop values around `run`, outermost first, its own last."""
    values: list[str] = []
    current: TaskRun | None = run
    while current is not None:
        if current.value is not None:
            values.append(current.value)
        current = execution.task_runs[current.parent_id] if current.parent_id is not None else None
    values.reverse()
    return values


def place(execution: Execution, run: TaskRun) -> None:
    """Put the outputs of `run` at its place in the tree."""
    if run.outputs is None:
        return
    path = [run.task_id, *values_of(execution, run)] if run.parent_id is not None else [run.task_id]
    node = execution.tree
    for key in path[:-1]:
        below = node.get(key)
        if not isinstance(below, dict):
            below = node[key] = {}
        node = below
    present = node.get(path[-1])
    if isinstance(present, dict) and run.progress is not None and run.items is None:
        node[path[-1]] = {**present, **run.outputs}
    else:
        node[path[-1]] = run.outputs


def remove(execution: Execution, run: TaskRun) -> None:
    """Take the outputs of `run` out of the tree, and the levels that are empty then."""
    path = [run.task_id, *values_of(execution, run)]
    levels: list[Any] = [execution.tree]
    for key in path[:-1]:
        below = levels[-1].get(key)
        if not isinstance(below, dict):
            return
        levels.append(below)
    levels[-1].pop(path[-1], None)
    for level, key in reversed(list(zip(levels, path[:-1], strict=False))):
        if level[key] == {}:
            del level[key]


def rebuild(execution: Execution) -> None:
    """Make the tree again from the task runs (after loading or rewinding)."""
    execution.tree = {}
    for run in execution.task_runs.values():
        place(execution, run)
