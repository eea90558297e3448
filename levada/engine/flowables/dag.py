"""Dag: a child starts once everything it depends on has ended well, at most `concurrent` at a time."""

from levada.engine.flowables.flowable import Child, Flowable, number
from levada.engine.plan import Node
from levada.engine.turn import Turn
from levada.model.execution import TaskRun
from levada.model.flow import Task


class Dag(Flowable):
    """A disabled child counts as done, so that what depends on it still runs."""

    def open(self, turn: Turn, run: TaskRun, node: Node) -> bool:
        self._limit(turn, run, node)
        return True

    def children(self, turn: Turn, run: TaskRun, node: Node, ended: TaskRun | None) -> list[Child]:
        assert run.progress is not None
        limit = self._limit(turn, run, node)
        tasks = self.branch(run, node)[1]
        begun = run.progress.done or {}
        out: list[Child] = []
        for index, task in enumerate(tasks):
            if limit and run.progress.running + len(out) >= limit:
                break
            if task.id not in begun and not task.disabled and self._ready(task, tasks, run, node):
                out.append(Child(task, index))
        return out

    def _ready(self, task: Task, tasks: tuple[Task, ...], run: TaskRun, node: Node) -> bool:
        assert run.progress is not None
        done = run.progress.done or {}
        disabled = {t.id for t in tasks if t.disabled}
        for needed in node.task.depends_on.get(task.id, ()):
            state = done.get(needed)
            if needed not in disabled and (state is None or state.is_failed or not state.is_terminal):
                return False
        return True

    def _limit(self, turn: Turn, run: TaskRun, node: Node) -> int:
        raw = (run.conditions or {}).get("concurrent", node.task.properties.get("concurrent"))
        return number(turn.render(raw, run, node), "concurrent", 0)
