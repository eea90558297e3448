"""If and Switch: evaluate once, remember the answer in the outputs, run that branch in sequence."""

from levada import expr
from levada.engine.flowables.flowable import Flowable
from levada.engine.plan import Node
from levada.engine.turn import Turn
from levada.model.errors import UserError
from levada.model.events import TaskRunOutputsSet
from levada.model.execution import TaskRun
from levada.model.flow import Task


class If(Flowable):
    """`condition` is false when it renders to nothing, `false`, `0` or `-0`."""

    def open(self, turn: Turn, run: TaskRun, node: Node) -> bool:
        if run.outputs is None or "evaluationResult" not in run.outputs:
            raw = (run.conditions or {}).get("condition", node.task.properties.get("condition", ""))
            result = expr.truthy(turn.render(raw, run, node))
            turn.emit(TaskRunOutputsSet(at=turn.now, id=run.id, outputs={"evaluationResult": result}))
        return True

    def branch(self, run: TaskRun, node: Node) -> tuple[str, tuple[Task, ...]]:
        name = "then" if (run.outputs or {}).get("evaluationResult") else "else"
        return name, node.task.branches.get(name, ())


class Switch(Flowable):
    def open(self, turn: Turn, run: TaskRun, node: Node) -> bool:
        if run.outputs is None or "value" not in run.outputs:
            raw = (run.conditions or {}).get("value", node.task.properties.get("value", ""))
            value = str(turn.render(raw, run, node))
            missing = f"cases.{value}" not in node.task.branches
            if missing and "defaults" not in node.task.branches:
                raise UserError(f"`{value}` matches no case of the Switch, and it has no `defaults`")
            outputs = {"value": value, "defaults": missing}
            turn.emit(TaskRunOutputsSet(at=turn.now, id=run.id, outputs=outputs))
        return True

    def branch(self, run: TaskRun, node: Node) -> tuple[str, tuple[Task, ...]]:
        outputs = run.outputs or {}
        name = "defaults" if outputs.get("defaults", True) else f"cases.{outputs.get('value')}"
        return name, node.task.branches.get(name, ())
