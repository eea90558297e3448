"""Sequential, AllowFailure (the same, but a failure inside is only a warning) and ForEachItem (three parts in order)."""

from typing import Any

from levada.engine.flowables.flowable import Flowable
from levada.engine.plan import Node, for_each_item_parts
from levada.engine.turn import Turn
from levada.model.execution import TaskRun
from levada.model.flow import Task
from levada.model.states import State


class Sequential(Flowable):
    pass


class AllowFailure(Flowable):
    def close(self, turn: Turn, run: TaskRun, node: Node) -> tuple[State, dict[str, Any] | None]:
        state, outputs = super().close(turn, run, node)
        return (State.WARNING if state is State.FAILED else state), outputs


class ForEachItem(Flowable):
    """Split the file, run one subflow per batch, merge their outputs; each part is a task run of its own."""

    def branch(self, run: TaskRun, node: Node) -> tuple[str, tuple[Task, ...]]:
        return "tasks", for_each_item_parts(node.task)

    def close(self, turn: Turn, run: TaskRun, node: Node) -> tuple[State, dict[str, Any] | None]:
        state, _ = super().close(turn, run, node)
        merged = turn.execution.tree.get(f"{node.task.id}_merge")
        return state, merged if isinstance(merged, dict) else None
