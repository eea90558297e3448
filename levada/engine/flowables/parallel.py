"""Parallel: all children at once, or `concurrent` at a time."""

from levada.engine.flowables.flowable import Child, Flowable, number, side_by_side
from levada.engine.plan import Node
from levada.engine.turn import Turn
from levada.model.execution import TaskRun


class Parallel(Flowable):
    def open(self, turn: Turn, run: TaskRun, node: Node) -> bool:
        self._limit(turn, run, node)
        return True

    def children(self, turn: Turn, run: TaskRun, node: Node, ended: TaskRun | None) -> list[Child]:
        assert run.progress is not None
        return side_by_side(self.branch(run, node)[1], run.progress, self._limit(turn, run, node))

    def _limit(self, turn: Turn, run: TaskRun, node: Node) -> int:
        raw = (run.conditions or {}).get("concurrent", node.task.properties.get("concurrent"))
        return number(turn.render(raw, run, node), "concurrent", 0)
