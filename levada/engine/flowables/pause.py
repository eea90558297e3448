"""Pause: wait for a person, or for a while. `onPause` runs while it waits; legacy `tasks` run after the resume."""

from levada.engine.flowables.flowable import Child, Flowable
from levada.engine.plan import Node
from levada.engine.turn import Turn
from levada.model import durations
from levada.model.effects import TimerKind
from levada.model.events import ExecutionStateChanged, TaskRunStateChanged
from levada.model.execution import TaskRun
from levada.model.flow import Task
from levada.model.states import State


class Pause(Flowable):
    """`pauseDuration` (or `delay`) ends the wait by `behavior`; `timeout` ends it as FAILED; else it waits for ever."""

    def open(self, turn: Turn, run: TaskRun, node: Node) -> bool:
        if any(state is State.PAUSED for state, _ in run.history):
            return True
        due = self._due(turn, run, node)
        turn.emit(TaskRunStateChanged(at=turn.now, id=run.id, state=State.PAUSED, due=due))
        if due is not None:
            turn.arm(TimerKind.PAUSE, due, run.id)
        if turn.execution.state is State.RUNNING:
            turn.emit(ExecutionStateChanged(at=turn.now, state=State.PAUSED))
        return bool(node.task.branches.get("onPause"))

    def branch(self, run: TaskRun, node: Node) -> tuple[str, tuple[Task, ...]]:
        name = "onPause" if run.state is State.PAUSED else "tasks"
        return name, node.task.branches.get(name, ())

    def children(self, turn: Turn, run: TaskRun, node: Node, ended: TaskRun | None) -> list[Child]:
        assert run.progress is not None
        if run.state is State.PAUSED and run.progress.next:
            return []
        return super().children(turn, run, node, ended)

    def goes_on(self, turn: Turn, run: TaskRun, node: Node) -> bool:
        return run.state is State.PAUSED

    def _due(self, turn: Turn, run: TaskRun, node: Node) -> int | None:
        found = []
        for raw in (*wait_properties(node), node.task.timeout):
            text = turn.render(raw, run, node)
            if text not in (None, ""):
                found.append(turn.now + durations.parse(str(text)))
        return min(found, default=None)


def wait_properties(node: Node) -> list[object]:
    properties = node.task.properties
    return [properties.get("pauseDuration"), properties.get("delay")]


def expiry_state(turn: Turn, run: TaskRun, node: Node) -> State:
    """What the end of the wait means: FAILED for a timeout alone, else what `behavior` says."""
    if not any(turn.render(raw, run, node) for raw in wait_properties(node)):
        return State.FAILED
    behavior = str(turn.render(node.task.properties.get("behavior", "RESUME"), run, node)).upper()
    states = {"RESUME": State.SUCCESS, "WARN": State.WARNING, "CANCEL": State.CANCELLED, "FAIL": State.FAILED}
    return states.get(behavior, State.SUCCESS)
