"""What every control structure answers, and the two ways in which most of them order their children."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from levada.engine.plan import Node
from levada.engine.turn import Turn
from levada.model.execution import Progress, TaskRun
from levada.model.flow import Task
from levada.model.states import State, worse


class Child(NamedTuple):
    """A child to start: `position` is its place in its branch, `value` and `iteration` those of a loop."""

    task: Task
    position: int
    value: str | None = None
    iteration: int | None = None


class Flowable:
    """The defaults: children in sequence, the end state is the worst of all stages, no outputs."""

    def open(self, turn: Turn, run: TaskRun, node: Node) -> bool:
        """Evaluate what the structure decides on. False: it waits for something and is visited later.

        Raises ExpressionError or UserError: the task run fails with that message.
        """
        return True

    def branch(self, run: TaskRun, node: Node) -> tuple[str, tuple[Task, ...]]:
        """The branch that its main stage runs, with its name."""
        return "tasks", node.task.branches.get("tasks", ())

    def children(self, turn: Turn, run: TaskRun, node: Node, ended: TaskRun | None) -> list[Child]:
        """Who may start now in the main stage; `ended` is the child whose end brought us here."""
        progress = run.progress
        assert progress is not None
        return in_sequence(self.branch(run, node)[1], progress)

    def goes_on(self, turn: Turn, run: TaskRun, node: Node) -> bool:
        """Asked when no child runs and none may start: True when the main stage continues later by itself."""
        return False

    def close(self, turn: Turn, run: TaskRun, node: Node) -> tuple[State, dict[str, Any] | None]:
        """The end state and the outputs, once every stage is over."""
        assert run.progress is not None
        return worst_of(run.progress), None


def in_sequence(tasks: Sequence[Task], progress: Progress) -> list[Child]:
    """One after the other; nothing more after one that failed."""
    worst = progress.worst.get(progress.stage)
    if progress.running or (worst is not None and worst.is_failed):
        return []
    index = next_enabled(tasks, progress.next)
    return [] if index is None else [Child(tasks[index], index)]


def side_by_side(tasks: Sequence[Task], progress: Progress, limit: int) -> list[Child]:
    """All at once, or at most `limit` at a time (0: no limit). One that fails does not stop the others."""
    out: list[Child] = []
    index = next_enabled(tasks, progress.next)
    while index is not None and (limit == 0 or progress.running + len(out) < limit):
        out.append(Child(tasks[index], index))
        index = next_enabled(tasks, index + 1)
    return out


def next_enabled(tasks: Sequence[Task], start: int) -> int | None:
    for index in range(start, len(tasks)):
        if not tasks[index].disabled:
            return index
    return None


def worst_of(progress: Progress) -> State:
    state = State.SUCCESS
    for reached in progress.worst.values():
        state = worse(state, reached)
    return state


def number(value: Any, name: str, default: int) -> int:
    """Return a rendered whole number ≥ 0. Raises UserError naming the property."""
    from levada.model.errors import UserError

    if value is None or value == "":
        return default
    try:
        found = int(str(value).strip())
    except ValueError as e:
        raise UserError(f"`{name}` must be a whole number, but is `{value}`") from e
    if found < 0:
        raise UserError(f"`{name}` must be 0 (no limit) or more, but is {found}")
    return found
