"""LoopUntil: its tasks again and again until `condition` holds, or a ceiling is reached.

The ceilings are looked at only when a pass has ended. The task runs of a pass go when the next one begins, so an endless
loop does not grow; `outputs` and `taskrun.iteration` show the last pass.
"""

from typing import Any

from levada import expr
from levada.engine.flowables.flowable import Flowable, worst_of
from levada.engine.plan import Node
from levada.engine.turn import Turn
from levada.model import durations
from levada.model.effects import TimerKind
from levada.model.errors import UserError
from levada.model.events import TaskRunOutputsSet, TaskRunStateChanged
from levada.model.execution import TaskRun
from levada.model.states import State

DEFAULT_INTERVAL = "PT1M"


class LoopUntil(Flowable):
    def open(self, turn: Turn, run: TaskRun, node: Node) -> bool:
        if run.outputs is None:
            turn.emit(TaskRunOutputsSet(at=turn.now, id=run.id, outputs={"iterationCount": 0}))
        return True

    def goes_on(self, turn: Turn, run: TaskRun, node: Node) -> bool:
        progress = run.progress
        assert progress is not None
        if (worst := progress.worst.get("main")) is not None and worst.is_failed:
            return False
        if run.due is not None:
            return True  # the next pass is waiting for its timer
        passes = (run.outputs or {}).get("iterationCount", 0) + 1
        turn.emit(TaskRunOutputsSet(at=turn.now, id=run.id, outputs={"iterationCount": passes}))
        if expr.truthy(turn.render(node.task.properties.get("condition", ""), run, node)):
            return False
        if self._ceiling_reached(turn, run, node, passes):
            if expr.truthy(turn.render(node.task.properties.get("failOnMaxReached", "false"), run, node)):
                raise UserError(f"the condition does not hold after {passes} iterations and failOnMaxReached is set")
            return False
        due = turn.now + self._duration(turn, run, node, "interval", DEFAULT_INTERVAL)
        turn.emit(TaskRunStateChanged(at=turn.now, id=run.id, state=State.RUNNING, due=due))
        turn.arm(TimerKind.LOOP, due, run.id)
        return True

    def close(self, turn: Turn, run: TaskRun, node: Node) -> tuple[State, dict[str, Any] | None]:
        assert run.progress is not None
        return worst_of(run.progress), None

    def _ceiling_reached(self, turn: Turn, run: TaskRun, node: Node, passes: int) -> bool:
        frequency = node.task.properties.get("checkFrequency") or {}
        most = turn.render(frequency.get("maxIterations"), run, node)
        if most not in (None, "") and passes >= int(most):
            return True
        longest = turn.render(frequency.get("maxDuration"), run, node)
        return bool(longest) and turn.now >= run.history[0][1] + durations.parse(str(longest))

    def _duration(self, turn: Turn, run: TaskRun, node: Node, name: str, default: str) -> int:
        frequency = node.task.properties.get("checkFrequency") or {}
        return durations.parse(str(turn.render(frequency.get(name, default), run, node)))
